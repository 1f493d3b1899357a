//! One file a command: its declaration, its arguments, its reply. Each handler reads like its sentence: parse, do,
//! answer.

mod adjust;
mod alerts;
mod apply;
mod args;
mod commit;
mod extend;
mod get;
mod parts;
mod reply;
mod reserve;
mod rollback;
mod set;
mod stock;
mod threshold;

/// The commands of clients, for the ACL category.
pub const PUBLIC: [&std::ffi::CStr; 10] = [
    c"INV.ADJUST",
    c"INV.ALERTS",
    c"INV.COMMIT",
    c"INV.EXTEND",
    c"INV.GET",
    c"INV.RESERVE",
    c"INV.ROLLBACK",
    c"INV.SET",
    c"INV.STOCK",
    c"INV.THRESHOLD",
];
