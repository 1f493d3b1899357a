//! The memory allocator. Inside a server it is the server's own, so that `used_memory` and maxmemory include the
//! memory of the module. Outside, as in the tests of the core, it is the system's.
//!
//! A command briefly needs about twenty small blocks, and one on a thousand reservations a few thousand. The server counts
//! every allocation and release, which costs more than the rest of the work on most of these blocks. Freed blocks of each
//! size are therefore kept for the next command.
//!
//! A build for memcheck (`--cfg memcheck`) keeps no blocks and allocates exactly the requested sizes. Otherwise an
//! access after the end of a block, or to a freed block, would remain undetected.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

use redis_module::raw;

/// The alignment of malloc on all platforms that the server runs on.
const MALLOC_ALIGN: usize = 16;

/// The number of sizes that are kept: the multiples of 16 up to 1024 bytes.
const SIZES: usize = if cfg!(memcheck) { 0 } else { 64 };

/// The number of sizes of which many blocks are kept: those up to 64 bytes.
const SMALL: usize = 4;

/// The maximum number of blocks that are kept of each small size, and of each other size.
const MOST_SMALL: u16 = 4096;
const MOST: u16 = 8;

struct ServerAlloc;

#[global_allocator]
static ALLOCATOR: ServerAlloc = ServerAlloc;

thread_local! {
    // An allocator must work on every thread, so each thread keeps its own blocks. The module runs on one thread
    // only. The array needs no drop, so it exists as long as its thread.
    static KEPT: [Kept; SIZES] = const { none_kept() };
}

/// Freed blocks of one size. Each block contains the address of the next.
struct Kept {
    first: Cell<*mut u8>,
    /// How many more may be kept.
    room: Cell<u16>,
}

impl Kept {
    const fn with_room(room: u16) -> Self {
        Self { first: Cell::new(ptr::null_mut()), room: Cell::new(room) }
    }

    /// A kept block, or null.
    fn take(&self) -> *mut u8 {
        let block = self.first.get();
        if !block.is_null() {
            // SAFETY: nobody else uses a kept block, and `keep` wrote the address of the next block to its start.
            self.first.set(unsafe { block.cast::<*mut u8>().read() });
            self.room.set(self.room.get().saturating_add(1));
        }
        block
    }

    /// Keeps a block unless there are enough already. Returns whether it was kept.
    ///
    /// # Safety
    /// The block has this size or more, is aligned to 16, and is not used by anybody else any more.
    unsafe fn keep(&self, block: *mut u8) -> bool {
        let Some(room) = self.room.get().checked_sub(1) else { return false };
        // SAFETY: the caller guarantees it, and an address fits into 16 bytes.
        unsafe { block.cast::<*mut u8>().write(self.first.get()) };
        self.first.set(block);
        self.room.set(room);
        true
    }
}

/// The blocks of all sizes before any is kept.
const fn none_kept() -> [Kept; SIZES] {
    let mut sizes = [const { Kept::with_room(MOST) }; SIZES];
    let all: &mut [Kept] = &mut sizes;
    if let Some((small, _)) = all.split_first_chunk_mut::<SMALL>() {
        *small = [const { Kept::with_room(MOST_SMALL) }; SMALL];
    }
    sizes
}

/// The index of the size that a layout belongs to; `None` if blocks of its size are not kept.
fn size_number(layout: Layout) -> Option<usize> {
    layout.size().checked_sub(1)?.checked_div(MALLOC_ALIGN).filter(|size| *size < SIZES)
}

/// The number of bytes of a block with this size index.
fn bytes_of(size: usize) -> usize {
    size.saturating_add(1).saturating_mul(MALLOC_ALIGN)
}

/// A kept block of this size, or null.
///
/// This function and [`keep`] are called from dozens of places in one command. Copies of them at each place would not fit
/// into the processor's cache for instructions.
#[inline(never)]
fn take_kept(size: usize) -> *mut u8 {
    KEPT.try_with(|kept| kept.get(size).map(Kept::take)).ok().flatten().unwrap_or(ptr::null_mut())
}

/// Keeps a block unless there are enough of its size already. Returns whether it was kept.
///
/// # Safety
/// As for [`Kept::keep`].
#[inline(never)]
unsafe fn keep(block: *mut u8, size: usize) -> bool {
    // SAFETY: the caller guarantees it.
    let keep = |kept: &Kept| unsafe { kept.keep(block) };
    KEPT.try_with(|kept| kept.get(size).is_some_and(keep)).unwrap_or_default()
}

/// Returns the kept blocks of this thread to the server when the module is unloaded.
pub fn release() {
    // SAFETY: written once, when the module is loaded, by the thread that runs all of its code.
    let Some(free) = (unsafe { raw::RedisModule_Free }) else { return };
    let _ = KEPT.try_with(|kept| {
        for kept in kept {
            loop {
                let block = kept.take();
                if block.is_null() {
                    break;
                }
                // SAFETY: the block came from the server's malloc, and nobody uses it.
                unsafe { free(block.cast()) }
            }
        }
    });
}

// SAFETY: each request goes to one of two allocators that fulfil the contract of malloc. The choice depends on the
// layout and on whether the server's functions are known. They become known once, at load, before the module
// allocates anything, so memory is freed by the allocator that allocated it. A kept block was freed, is at least as
// large as its size says, and is handed out once.
unsafe impl GlobalAlloc for ServerAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: written once, when the module is loaded, by the thread that runs all of its code.
        match unsafe { raw::RedisModule_Alloc } {
            Some(alloc) if layout.align() <= MALLOC_ALIGN => {
                let Some(size) = size_number(layout) else {
                    // SAFETY: the server's malloc takes any size.
                    return unsafe { alloc(layout.size()) }.cast();
                };
                let block = take_kept(size);
                if block.is_null() {
                    // SAFETY: as above.
                    return unsafe { alloc(bytes_of(size)) }.cast();
                }
                block
            }
            // SAFETY: the contract of the caller is that of the system allocator.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Free } {
            Some(free) if layout.align() <= MALLOC_ALIGN => {
                // SAFETY: `alloc` allocated the block for a layout of this size, and its owner frees it.
                if !size_number(layout).is_some_and(|size| unsafe { keep(pointer, size) }) {
                    // SAFETY: `alloc` allocated it with the server's malloc for this layout.
                    unsafe { free(pointer.cast()) }
                }
            }
            // SAFETY: `alloc` allocated it with the system allocator for this layout.
            _ => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Realloc } {
            Some(realloc) if layout.align() <= MALLOC_ALIGN => {
                // SAFETY: the caller guarantees that the new size and this alignment form a valid layout.
                let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
                match (size_number(layout), size_number(new)) {
                    (Some(old), Some(new)) if old == new => pointer,
                    // The new block is as large as `alloc` would make it.
                    (_, kept) => {
                        let bytes = kept.map_or(size, bytes_of);
                        // SAFETY: `alloc` allocated it with the server's malloc for this layout.
                        unsafe { realloc(pointer.cast(), bytes) }.cast()
                    }
                }
            }
            // SAFETY: `alloc` allocated it with the system allocator for this layout.
            _ => unsafe { System.realloc(pointer, layout, size) },
        }
    }
}
