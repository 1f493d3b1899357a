//! Memory: the server's allocator inside the server, so that `used_memory` and maxmemory see what the module takes;
//! the system's where there is no server, as in the core's own tests.

use std::alloc::{GlobalAlloc, Layout, System};

use redis_module::raw;

/// What every malloc aligns to on the platforms that the server runs on.
const MALLOC_ALIGN: usize = 16;

struct ServerAlloc;

#[global_allocator]
static ALLOCATOR: ServerAlloc = ServerAlloc;

// SAFETY: each request goes to one of two allocators that keep the contract of malloc, chosen by the layout and by
// whether the server's functions are known. Those are set once, while the module is loaded, before anything of ours
// is allocated: so memory is freed by the allocator that gave it.
unsafe impl GlobalAlloc for ServerAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: written once, while the module is loaded, by the thread that runs all of its code.
        match unsafe { raw::RedisModule_Alloc } {
            // SAFETY: the server's malloc takes any size.
            Some(alloc) if layout.align() <= MALLOC_ALIGN => unsafe { alloc(layout.size()) }.cast(),
            // SAFETY: the caller's contract is the system allocator's.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Free } {
            // SAFETY: `alloc` took it from the server's malloc for this layout.
            Some(free) if layout.align() <= MALLOC_ALIGN => unsafe { free(pointer.cast()) },
            // SAFETY: `alloc` took it from the system for this layout.
            _ => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        match unsafe { raw::RedisModule_Realloc } {
            Some(realloc) if layout.align() <= MALLOC_ALIGN => {
                // SAFETY: `alloc` took it from the server's malloc for this layout.
                unsafe { realloc(pointer.cast(), size) }.cast()
            }
            // SAFETY: `alloc` took it from the system for this layout.
            _ => unsafe { System.realloc(pointer, layout, size) },
        }
    }
}
