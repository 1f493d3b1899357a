//! The server's module API, as safe functions: nearly all unsafe code of the module is here, a file for each part of it.
//!
//! Three things hold for every block, and are not repeated at each: the server calls the module on its main thread
//! only, with a context ([`ctx::Ctx`]) that is valid until the callback returns; the functions in [`functions`] are there,
//! because the module does not load otherwise; and a handle ([`text::Text`], [`key::OpenKey`]) is released exactly once, by its
//! Drop.

/// Calls a function of the module API. Whether it is there was checked at load, so the other arm is never taken.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        #[cfg(feature = "faults")]
        $crate::server::faults::point();
        match redis_module::raw::$name {
            Some(function) => function($($argument),*),
            None => std::process::abort(),
        }
    }};
}

pub mod acl;
pub mod call;
pub mod cluster;
pub mod config;
pub mod ctx;
pub mod events;
pub mod functions;
pub mod info;
pub mod key;
pub mod log;
pub mod replication;
pub mod reply;
pub mod scan;
pub mod text;
