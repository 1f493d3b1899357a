//! Memory: the server's allocator inside the server, so that `used_memory` and maxmemory see what the module takes;
//! the system's if there is no server, as in the core's own tests.
//!
//! A command needs some twenty small blocks for a moment. The server counts every block that it gives and takes, which
//! costs more than the rest of the work on most of them; so a few freed ones of each size are kept for the next command.
//! A build for memcheck (`--cfg memcheck`) keeps none, and asks for exactly what is needed: an access after the end of a
//! block, or to one that was freed, would go unseen otherwise.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

use redis_module::raw;

/// What every malloc aligns to on the platforms that the server runs on.
const MALLOC_ALIGN: usize = 16;

/// Blocks of up to 1024 bytes are kept, in sizes that are multiples of 16.
const SIZES: usize = if cfg!(memcheck) { 0 } else { 64 };

/// This many of each size are kept.
const MOST: u8 = 8;

struct ServerAlloc;

#[global_allocator]
static ALLOCATOR: ServerAlloc = ServerAlloc;

thread_local! {
    // Of the thread, because an allocator must work on each; the module runs on one. Nothing in it has to be dropped, so it
    // is there as long as the thread.
    static KEPT: [Kept; SIZES] = const { [const { Kept::new() }; SIZES] };
}

/// Freed blocks of one size: each holds the address of the next.
struct Kept {
    first: Cell<*mut u8>,
    count: Cell<u8>,
}

impl Kept {
    const fn new() -> Self {
        Self { first: Cell::new(ptr::null_mut()), count: Cell::new(0) }
    }

    /// A block, or null.
    fn take(&self) -> *mut u8 {
        let block = self.first.get();
        if !block.is_null() {
            // SAFETY: a kept block is nobody's, and `keep` wrote the address of the next to its begin.
            self.first.set(unsafe { block.cast::<*mut u8>().read() });
            self.count.set(self.count.get().saturating_sub(1));
        }
        block
    }

    /// Keeps a block, unless there are enough. Says whether it did.
    ///
    /// # Safety
    /// The block is of this size or larger, aligned to 16, and from now on nobody else's.
    unsafe fn keep(&self, block: *mut u8) -> bool {
        if self.count.get() >= MOST {
            return false;
        }
        // SAFETY: the caller's promise; 16 bytes have room for an address.
        unsafe { block.cast::<*mut u8>().write(self.first.get()) };
        self.first.set(block);
        self.count.set(self.count.get().saturating_add(1));
        true
    }
}

/// The number of the size that a layout is kept in; `None` if it is not kept.
fn size_number(layout: Layout) -> Option<usize> {
    layout.size().checked_sub(1)?.checked_div(MALLOC_ALIGN).filter(|size| *size < SIZES)
}

/// How many bytes a block of that size has.
fn bytes_of(size: usize) -> usize {
    size.saturating_add(1).saturating_mul(MALLOC_ALIGN)
}

/// Gives the kept blocks of this thread back to the server: the module is unloaded.
pub fn release() {
    // SAFETY: written once, while the module is loaded, by the thread that runs all of its code.
    let Some(free) = (unsafe { raw::RedisModule_Free }) else { return };
    let _ = KEPT.try_with(|kept| {
        for kept in kept {
            loop {
                let block = kept.take();
                if block.is_null() {
                    break;
                }
                // SAFETY: it came from the server's malloc, and is nobody's.
                unsafe { free(block.cast()) }
            }
        }
    });
}

// SAFETY: each request goes to one of two allocators that keep the contract of malloc, chosen by the layout and by
// whether the server's functions are known. Those are set once, while the module is loaded, before anything of ours
// is allocated: so memory is freed by the allocator that gave it. A block of the server that is kept was freed, is at least
// as large as its size says, and is given out once.
unsafe impl GlobalAlloc for ServerAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: written once, while the module is loaded, by the thread that runs all of its code.
        match unsafe { raw::RedisModule_Alloc } {
            Some(alloc) if layout.align() <= MALLOC_ALIGN => {
                let Some(size) = size_number(layout) else {
                    // SAFETY: the server's malloc takes any size.
                    return unsafe { alloc(layout.size()) }.cast();
                };
                let kept = KEPT.try_with(|kept| kept.get(size).map(Kept::take)).ok().flatten();
                match kept {
                    Some(block) if !block.is_null() => block,
                    // SAFETY: as above.
                    _ => unsafe { alloc(bytes_of(size)) }.cast(),
                }
            }
            // SAFETY: the caller's contract is the system allocator's.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Free } {
            Some(free) if layout.align() <= MALLOC_ALIGN => {
                let keep = |size: usize| {
                    // SAFETY: `alloc` gave the block for a layout of this size, and its owner frees it.
                    KEPT.try_with(|kept| kept.get(size).is_some_and(|kept| unsafe { kept.keep(pointer) }))
                };
                if !size_number(layout).is_some_and(|size| keep(size).unwrap_or_default()) {
                    // SAFETY: `alloc` took it from the server's malloc for this layout.
                    unsafe { free(pointer.cast()) }
                }
            }
            // SAFETY: `alloc` took it from the system for this layout.
            _ => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Realloc } {
            Some(realloc) if layout.align() <= MALLOC_ALIGN => {
                // SAFETY: the caller's promise: the new size with this alignment is a layout.
                let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
                match (size_number(layout), size_number(new)) {
                    (Some(old), Some(new)) if old == new => pointer,
                    // What `alloc` gives for a size that is kept is as large as that.
                    (_, kept) => {
                        let bytes = kept.map_or(size, bytes_of);
                        // SAFETY: `alloc` took it from the server's malloc for this layout.
                        unsafe { realloc(pointer.cast(), bytes) }.cast()
                    }
                }
            }
            // SAFETY: `alloc` took it from the system for this layout.
            _ => unsafe { System.realloc(pointer, layout, size) },
        }
    }
}
