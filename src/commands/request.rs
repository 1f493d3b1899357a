//! What a client asks for, read from the words of its call. The handlers read their own; this is for those who have no server:
//! the fuzzers and the simulation.

use super::warehouses::Change;
use super::{
    adjust, alerts, audit, auditscan, commit, extend, get, repair, reserve, rollback, scan, set, stock,
    threshold, transfer, warehouses,
};
use crate::engine::alerts::AlertQuery;
use crate::engine::audit::AuditCursor;
use crate::engine::keyspace::Settings;
use crate::engine::queries::ScanQuery;
use crate::engine::reserve::ReserveRequest;
use crate::engine::resolve::{ExtendRequest, ResolveRequest};
use crate::engine::restock::{AdjustRequest, SetRequest};
use crate::engine::warehouses::TransferRequest;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product, ReservationId, Sku};

/// A call of one of the commands for clients.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is named like its command")]
pub enum Request {
    Adjust(AdjustRequest),
    Alerts(AlertQuery),
    Audit(Sku),
    /// Where it goes on, and the size of a page.
    AuditScan(AuditCursor, usize),
    Commit(ResolveRequest),
    Extend(ExtendRequest),
    Get(ReservationId),
    /// The sku, and whether by force.
    Repair(Sku, bool),
    Reserve(ReserveRequest),
    Rollback(ResolveRequest),
    Scan(ScanQuery),
    Set(SetRequest),
    Stock(Vec<Product>),
    /// Without a number the product has none of its own any more.
    Threshold(Product, Option<i64>),
    Transfer(TransferRequest),
    Warehouses(Product, Change),
}

impl Request {
    /// Reads the words of a call, its name first. `None` where the name is not that of a command for clients.
    pub fn read(words: &[&[u8]], style: KeyStyle, settings: &Settings) -> Option<Result<Self, Refusal>> {
        let name = words.first()?.to_ascii_uppercase();
        Some(match name.as_slice() {
            b"INV.ADJUST" => adjust::parse(words, style).map(Self::Adjust),
            b"INV.ALERTS" => alerts::parse(words, style).map(Self::Alerts),
            b"INV.AUDIT" => audit::parse(words, style).map(Self::Audit),
            b"INV.AUDITSCAN" => auditscan::parse(words).map(|(cursor, count)| Self::AuditScan(cursor, count)),
            b"INV.COMMIT" => commit::parse(words, style, settings).map(Self::Commit),
            b"INV.EXTEND" => extend::parse(words, style).map(Self::Extend),
            b"INV.GET" => get::parse(words, style).map(Self::Get),
            b"INV.REPAIR" => repair::parse(words, style).map(|(sku, force)| Self::Repair(sku, force)),
            b"INV.RESERVE" => reserve::parse(words, style, settings).map(Self::Reserve),
            b"INV.ROLLBACK" => rollback::parse(words, style, settings).map(Self::Rollback),
            b"INV.SCAN" => scan::parse(words, style).map(Self::Scan),
            b"INV.SET" => set::parse(words, style).map(Self::Set),
            b"INV.STOCK" => stock::parse(words, style).map(Self::Stock),
            b"INV.THRESHOLD" => {
                threshold::parse(words, style).map(|(product, units)| Self::Threshold(product, units))
            }
            b"INV.TRANSFER" => transfer::parse(words, style).map(Self::Transfer),
            b"INV.WAREHOUSES" => {
                warehouses::parse(words, style).map(|(product, change)| Self::Warehouses(product, change))
            }
            _ => return None,
        })
    }
}
