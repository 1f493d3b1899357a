//! One file a command: its declaration, its arguments, its reply. Each handler reads like its sentence: parse, do,
//! answer.

mod alerts;
mod apply;
mod args;
mod commit;
mod get;
mod reply;
mod reserve;
mod rollback;
mod stock;

/// The commands of clients, for the ACL category.
pub const PUBLIC: [&std::ffi::CStr; 6] =
    [c"INV.ALERTS", c"INV.COMMIT", c"INV.GET", c"INV.RESERVE", c"INV.ROLLBACK", c"INV.STOCK"];
