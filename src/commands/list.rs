//! The commands for clients, each listed once with its request, its ACL category and its parser. The declarations are
//! in the commands' own files. INV.APPLY is not for clients, so it is not listed here.

use super::warehouses::{self, Change};
use super::{
    adjust, alerts, audit, auditscan, batch, commit, extend, floor, get, limit, mcommit, mreserve, mrollback,
    quota, repair, replace, reserve, rollback, scan, set, stock, stockscan, threshold, transfer,
};
use crate::engine::alerts::AlertQuery;
use crate::engine::audit::AuditCursor;
use crate::engine::keyspace::Settings;
use crate::engine::queries::ScanQuery;
use crate::engine::replace::ReplaceRequest;
use crate::engine::reserve::ReserveRequest;
use crate::engine::resolve::{ExtendRequest, ResolveRequest};
use crate::engine::restock::{AdjustRequest, SetRequest};
use crate::engine::stockscan::StockScanQuery;
use crate::engine::warehouses::TransferRequest;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product, ReservationId, Sku};

/// The ACL category of a command, besides `@inventory`, which servers before Redis 7.4 and Valkey 8 do not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// It changes nothing.
    Read,
    /// It changes stock.
    Write,
    /// It changes stock, and may release units that another program holds.
    Dangerous,
}

impl Category {
    /// The names of the server's categories, separated by spaces.
    pub const fn names(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Dangerous => "write dangerous",
        }
    }
}

/// `Name(request) Category: parser;` declares the command `INV.NAME`.
macro_rules! commands {
    (
        |$words:ident, $style:ident, $settings:ident|
        $($(#[$document:meta])* $name:ident $asked:tt $category:ident: $read:expr;)*
    ) => {
        /// The names of the commands and their categories.
        pub const FOR_CLIENTS: &[(&str, Category)] =
            &[$((concat!("INV.", stringify!($name)), Category::$category)),*];

        /// The request of a client, parsed from the words of a call. The handlers call the parsers themselves; this
        /// type is for fuzzers and simulations, which have no server.
        #[derive(Clone, Debug)]
        #[expect(missing_docs, reason = "each is named like its command")]
        pub enum Request {
            $($(#[$document])* $name $asked,)*
        }

        impl Request {
            /// Parses the words of a call, including the command's name. `None` if this is not a command for clients.
            pub fn read(
                $words: &[&[u8]],
                $style: KeyStyle,
                $settings: &Settings,
            ) -> Option<Result<Self, Refusal>> {
                let name = $words.first()?;
                $(
                    if name.eq_ignore_ascii_case(concat!("INV.", stringify!($name)).as_bytes()) {
                        return Some($read);
                    }
                )*
                None
            }
        }
    };
}

commands! {
    |words, style, settings|
    Adjust(AdjustRequest) Write: adjust::parse(words, style, settings).map(Self::Adjust);
    Alerts(AlertQuery) Read: alerts::parse(words, style).map(Self::Alerts);
    Audit(Sku) Read: audit::parse(words, style).map(Self::Audit);
    /// The cursor, and the size of the page.
    AuditScan(AuditCursor, usize) Read: auditscan::parse(words).map(|(cursor, count)| Self::AuditScan(cursor, count));
    Commit(ResolveRequest) Write: commit::parse(words, style, settings).map(Self::Commit);
    Extend(ExtendRequest) Write: extend::parse(words, style).map(Self::Extend);
    /// The sku, and its floor.
    Floor(Sku, i64) Write: floor::parse(words, style).map(|(sku, units)| Self::Floor(sku, units));
    Get(ReservationId) Read: get::parse(words, style).map(Self::Get);
    /// Without a number, the product has no limit.
    Limit(Product, Option<i64>) Write: limit::parse(words, style).map(|(product, units)| Self::Limit(product, units));
    MCommit(Vec<ReservationId>) Write: batch::ids(words, style, settings, mcommit::GRAMMAR).map(Self::MCommit);
    MReserve(Vec<ReserveRequest>) Write: mreserve::parse(words, style, settings).map(Self::MReserve);
    MRollback(Vec<ReservationId>) Write: batch::ids(words, style, settings, mrollback::GRAMMAR).map(Self::MRollback);
    /// The product and the buyer.
    Quota(Product, String) Read: quota::parse(words, style).map(|(product, buyer)| Self::Quota(product, buyer));
    /// The sku, and whether the repair is forced.
    Repair(Sku, bool) Dangerous: repair::parse(words, style).map(|(sku, force)| Self::Repair(sku, force));
    Replace(ReplaceRequest) Write: replace::parse(words, style, settings).map(Self::Replace);
    Reserve(ReserveRequest) Write: reserve::parse(words, style, settings).map(Self::Reserve);
    Rollback(ResolveRequest) Write: rollback::parse(words, style, settings).map(Self::Rollback);
    Scan(ScanQuery) Read: scan::parse(words, style).map(Self::Scan);
    Set(SetRequest) Write: set::parse(words, style, settings).map(Self::Set);
    Stock(Vec<Product>) Read: stock::parse(words, style).map(Self::Stock);
    StockScan(StockScanQuery) Read: stockscan::parse(words).map(Self::StockScan);
    /// Without a number, the product has no threshold of its own.
    Threshold(Product, Option<i64>) Write: threshold::parse(words, style).map(|(product, units)| Self::Threshold(product, units));
    Transfer(TransferRequest) Write: transfer::parse(words, style, settings).map(Self::Transfer);
    Warehouses(Product, Change) Write: warehouses::parse(words, style).map(|(product, change)| Self::Warehouses(product, change));
}
