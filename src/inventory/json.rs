//! The JSON of records and outcomes in the exact form in which the module writes it.
//!
//! Nearly every document that the module reads was written by the module itself, so [`Reader`] reads just that form: no
//! whitespace, the fields in their order, no escapes in strings. It gives up on anything else, and the caller falls back to
//! `serde_json`. [`Writer`] writes the form, and leaves only strings that need escapes to `serde_json`.

use super::bytes::position;
use super::line::{LineJson, QuotaJson};

/// The room for a document with one line and no free text, which takes 150 to 200 bytes.
const USUAL: usize = 256;

/// Writes a document. The caller also writes the text between the values, in the form that [`Reader`] expects.
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Appends a document with this free text to `out`.
    pub(super) fn new(mut out: Vec<u8>, data: Option<&str>) -> Self {
        out.reserve(USUAL.saturating_add(data.map_or(0, str::len)));
        Self { out }
    }

    /// Writes `text` as it is.
    pub(super) fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Writes a string.
    pub(super) fn text(&mut self, value: &str) {
        let needs_escape = |byte: u8| !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\';
        if position(value.as_bytes(), needs_escape).is_none() {
            self.put("\"");
            self.put(value);
            self.put("\"");
        } else {
            // Writing a string to a vector cannot fail.
            let _ = serde_json::to_writer(&mut self.out, value);
        }
    }

    /// Writes an integer.
    pub(super) fn number(&mut self, value: i64) {
        self.put(itoa::Buffer::new().format(value));
    }

    /// Writes the lines of a reservation.
    pub(super) fn lines(&mut self, lines: &[LineJson<'_>]) {
        let mut between = "[{\"product_id\":";
        for line in lines {
            self.put(between);
            self.text(&line.product_id);
            if let Some(warehouse) = &line.warehouse {
                self.put(",\"warehouse\":");
                self.text(warehouse);
            }
            self.put(",\"quantity\":");
            self.number(line.quantity);
            between = "},{\"product_id\":";
        }
        self.put(if lines.is_empty() { "[]" } else { "}]" });
    }

    /// The text with the finished document.
    pub(super) fn end(self) -> Vec<u8> {
        self.out
    }
}

/// Reads a document in the exact form in which [`Writer`] writes it. Each step gives `None` if the document continues differently.
pub(super) struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `json`. `None` if it is not UTF-8.
    pub(super) fn new(json: &'a [u8]) -> Option<Self> {
        Some(Self { rest: std::str::from_utf8(json).ok()? })
    }

    /// Passes over `expected`.
    pub(super) fn expect(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// Passes over `expected` if the document continues with it, and says whether it did.
    pub(super) fn skip(&mut self, expected: &str) -> bool {
        self.expect(expected).is_some()
    }

    /// A string without escapes.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        self.expect("\"")?;
        let end = position(self.rest.as_bytes(), |byte| byte < b' ' || byte == b'"' || byte == b'\\')?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        self.expect("\"")?;
        Some(text)
    }

    /// An integer that is not negative and has at most 18 digits.
    pub(super) fn number(&mut self) -> Option<i64> {
        let mut number = 0_i64;
        let mut digits = 0_usize;
        for digit in self.rest.bytes().take_while(u8::is_ascii_digit) {
            if digits == 18 || (digits == 1 && number == 0) {
                return None;
            }
            // 18 digits fit.
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0')));
            digits = digits.wrapping_add(1);
        }
        self.rest = self.rest.get(digits..)?;
        (digits > 0).then_some(number)
    }

    /// The lines of a reservation.
    pub(super) fn lines(&mut self) -> Option<Vec<LineJson<'a>>> {
        let mut lines = Vec::with_capacity(1);
        self.expect("[")?;
        if self.skip("]") {
            return Some(lines);
        }
        loop {
            self.expect("{\"product_id\":")?;
            let product_id = self.text()?.into();
            let warehouse = if self.skip(",\"warehouse\":") { Some(self.text()?.into()) } else { None };
            self.expect(",\"quantity\":")?;
            let quantity = self.number()?;
            self.expect("}")?;
            lines.push(LineJson { product_id, warehouse, quantity });
            if !self.skip(",") {
                break;
            }
        }
        self.expect("]")?;
        Some(lines)
    }

    /// What a reservation holds of its buyer's quotas.
    #[cold]
    pub(super) fn quota(&mut self) -> Option<Box<QuotaJson<'a>>> {
        Some(Box::new(QuotaJson(self.lines()?)))
    }

    /// The end of the document: nothing follows.
    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}
