//! Writes replies. A map is a map in RESP3 and a flat array in RESP2.

use std::cell::Cell;

use redis_module::RedisValue;

use crate::engine::audit::Audit;
use crate::inventory::line::Line;
use crate::inventory::refusal::Refusal;
use crate::server::api::ctx::Ctx;

/// `OK`.
pub fn ok((): ()) -> RedisValue {
    RedisValue::SimpleStringStatic("OK")
}

/// Writes a reply element by element, in the documented order of its fields.
pub struct Reply<'a> {
    ctx: Ctx<'a>,
    /// How many announced elements are still missing. `None` before the first element is written.
    owed: Cell<Option<usize>>,
}

impl<'a> Reply<'a> {
    /// A reply of which nothing is written yet.
    pub const fn new(ctx: Ctx<'a>) -> Self {
        Self { ctx, owed: Cell::new(None) }
    }

    /// Fills the elements that are missing after a panic with errors, so that the client does not take the next reply
    /// for them. False if nothing was written.
    pub fn mend(&self, error: &str) -> bool {
        let Some(owed) = self.owed.get() else { return false };
        (0..owed).for_each(|_| self.ctx.reply_with_error(error));
        true
    }

    /// Counts one element as written. It announces `elements` of its own.
    fn wrote(&self, elements: usize) {
        #[cfg(feature = "faults")]
        crate::server::faults::point();
        let owed = self.owed.get().unwrap_or(1);
        self.owed.set(Some(owed.saturating_sub(1).saturating_add(elements)));
    }

    /// A map with this many fields. Each field is a [`Reply::text`] followed by a value.
    pub fn map(&self, fields: usize) {
        self.wrote(fields.saturating_mul(2));
        self.ctx.reply_with_map(fields);
    }

    /// An array.
    pub fn array(&self, elements: usize) {
        self.wrote(elements);
        self.ctx.reply_with_array(elements);
    }

    /// A string.
    pub fn text(&self, text: &str) {
        self.wrote(0);
        self.ctx.reply_with_text(text);
    }

    /// An integer.
    pub fn number(&self, number: i64) {
        self.wrote(0);
        self.ctx.reply_with_integer(number);
    }

    /// The score of a sorted set's member, as an integer if it is one.
    pub fn score(&self, score: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "it is an integer within 2^53")]
        if score.fract() == 0.0 && score.abs() <= 9_007_199_254_740_992.0 {
            self.number(score as i64);
        } else {
            self.wrote(0);
            self.ctx.reply_with_double(score);
        }
    }

    /// An error.
    pub fn error(&self, refusal: &Refusal) {
        self.wrote(0);
        self.ctx.reply_with_error(&refusal.to_string());
    }

    /// `OK`.
    pub fn ok(&self) {
        self.wrote(0);
        self.ctx.reply_with_ok();
    }

    /// A null.
    pub fn null(&self) {
        self.wrote(0);
        self.ctx.reply_with_null();
    }

    /// Lines, in the form of the stored record.
    pub fn lines(&self, lines: &[Line]) {
        self.array(lines.len());
        for Line { sku, quantity } in lines {
            self.map(if sku.warehouse().is_some() { 3 } else { 2 });
            self.text("product_id");
            self.text(sku.product());
            if let Some(warehouse) = sku.warehouse() {
                self.text("warehouse");
                self.text(warehouse);
            }
            self.text("quantity");
            self.number(quantity.units());
        }
    }

    /// The reserved counter of a sku and the units that reservations hold, with its `stray` units if it has any.
    pub fn audit(&self, audit: &Audit, stray: i64) {
        self.map(if stray == 0 { 4 } else { 5 });
        self.text("sku");
        self.text(audit.sku.as_str());
        for (name, units) in [("reserved", audit.reserved), ("held", audit.held), ("drift", audit.drift())] {
            self.text(name);
            self.number(units);
        }
        if stray != 0 {
            self.text("stray");
            self.number(stray);
        }
    }

    /// Tells the server that the reply is written.
    pub fn done(&self) -> Result<RedisValue, Refusal> {
        Ok(RedisValue::NoReply)
    }
}
