//! One file a command: its declaration, its arguments, its reply. Each handler reads like its sentence: parse, do,
//! answer.

mod adjust;
mod alerts;
mod apply;
mod args;
mod audit;
mod auditscan;
mod commit;
mod extend;
mod get;
mod page;
mod parts;
mod repair;
mod reply;
mod reserve;
mod rollback;
mod scan;
mod set;
mod stock;
mod threshold;
mod transfer;
mod warehouses;

/// The commands of clients, for the ACL category.
pub const PUBLIC: [&std::ffi::CStr; 16] = [
    c"INV.ADJUST",
    c"INV.ALERTS",
    c"INV.AUDIT",
    c"INV.AUDITSCAN",
    c"INV.COMMIT",
    c"INV.EXTEND",
    c"INV.GET",
    c"INV.REPAIR",
    c"INV.RESERVE",
    c"INV.ROLLBACK",
    c"INV.SCAN",
    c"INV.SET",
    c"INV.STOCK",
    c"INV.THRESHOLD",
    c"INV.TRANSFER",
    c"INV.WAREHOUSES",
];
