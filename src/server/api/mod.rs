//! The server's module API as safe functions, one file for each part. It contains nearly all unsafe code of the
//! module.
//!
//! Three guarantees hold for every unsafe block and are not repeated in each. The server calls the module on its main
//! thread only, with a context ([`ctx::Ctx`]) that is valid until the callback returns. All functions in
//! [`functions`] exist, because the module does not load otherwise. A handle ([`text::Text`], [`key::OpenKey`]) is
//! released exactly once, by its Drop.

/// Calls a function of the module API. Its existence was checked at load, so the second arm is never taken.
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
