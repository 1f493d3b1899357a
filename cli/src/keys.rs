//! The names of the keys, as docs/keys.md describes them.
//!
//! Ids and skus are written here as replies and the change feed write them: in tagged style, `{P}` and `P` are the same product,
//! `P`.

use crate::server::style::Style;

/// The start of the key of a sku's available units.
pub const AVAILABLE: &str = "stock:available:";
/// The start of the key of a sku's reserved units.
pub const RESERVED: &str = "stock:reserved:";
/// The start of the key of a reservation's record.
pub const RESERVATION: &str = "reservation:";
/// The start of the key of an outcome.
pub const OUTCOME: &str = "inventory:outcome:";
/// The start of the key of a product's warehouses.
pub const WAREHOUSES: &str = "stock:warehouses:";
/// The start of the key of a sku's floor.
pub const FLOOR: &str = "stock:floor:";
/// The start of the key of a product's limit per buyer.
pub const LIMIT: &str = "stock:limit:";
/// The start of the key of a product's low-stock threshold.
pub const THRESHOLD: &str = "stock:threshold:";
/// The key of the change feed, or its start in tagged style.
pub const FEED: &str = "inventory:feed";

impl Style {
    /// The value of `inv.key-style`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tagged => "tagged",
        }
    }

    /// The style of this name.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Plain, Self::Tagged].into_iter().find(|style| style.word() == word)
    }

    /// The key of a sku, a product, or the quota of a buyer.
    pub fn of_sku(self, prefix: &str, sku: &str) -> String {
        format!("{prefix}{}", self.in_key(sku))
    }

    /// The key of a reservation or of its outcome. Its id may contain an `@`.
    pub fn of_id(self, prefix: &str, id: &str) -> String {
        match self {
            Self::Tagged if !id.contains('{') => format!("{prefix}{{{id}}}"),
            Self::Plain | Self::Tagged => format!("{prefix}{id}"),
        }
    }

    /// The key of the feed that reports the changes of this sku, product or reservation.
    pub fn feed_of(self, id: &str) -> String {
        match self {
            Self::Plain => FEED.to_owned(),
            Self::Tagged => {
                let product = product_of(id);
                let tag = id.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
                format!("{FEED}:{{{}}}", tag.map_or(product, |(tag, _)| tag))
            }
        }
    }

    /// The sku that this name of a key contains after its prefix. `None` if no command of the module would write such a name.
    pub fn sku_in(self, rest: &str) -> Option<String> {
        let product = product_of(rest);
        let after = &rest[product.len()..];
        let canonical = self.id_in(product)?;
        if self == Self::Plain && product.is_empty() {
            return None;
        }
        Some(format!("{canonical}{after}"))
    }

    /// The id that this name of a key contains after its prefix.
    pub fn id_in(self, rest: &str) -> Option<String> {
        if rest.is_empty() || rest.chars().any(char::is_control) {
            return None;
        }
        if self == Self::Plain {
            return Some(rest.to_owned());
        }
        let (_, after) = rest.split_once('{')?;
        let (tag, _) = after.split_once('}')?;
        if tag.is_empty() || rest.matches(['{', '}']).count() != 2 {
            return None;
        }
        Some(if rest.len() == tag.len() + 2 { tag.to_owned() } else { rest.to_owned() })
    }
}

/// The product of a sku or of a quota.
pub fn product_of(sku: &str) -> &str {
    sku.split('@').next().unwrap_or(sku)
}

/// The warehouse of a sku, if it has one.
pub fn warehouse_of(sku: &str) -> Option<&str> {
    let (_, rest) = sku.split_once('@')?;
    (!rest.starts_with('@')).then_some(rest)
}

/// Whether this is the quota of a buyer, `product@@buyer`.
pub fn is_quota(sku: &str) -> bool {
    sku.split_once('@').is_some_and(|(_, rest)| rest.starts_with('@'))
}

#[cfg(test)]
mod tests {
    use super::{AVAILABLE, RESERVATION, is_quota, warehouse_of};
    use crate::server::style::Style;

    #[test]
    fn the_name_of_a_key_contains_the_sku_in_its_style() {
        let cases = [
            ("P", "stock:available:P", "stock:available:{P}"),
            ("P@A", "stock:available:P@A", "stock:available:{P}@A"),
            ("P@@c@7", "stock:available:P@@c@7", "stock:available:{P}@@c@7"),
            ("{s}:P@A", "stock:available:{s}:P@A", "stock:available:{s}:P@A"),
        ];
        for (sku, plain, tagged) in cases {
            for (style, key) in [(Style::Plain, plain), (Style::Tagged, tagged)] {
                assert_eq!(style.of_sku(AVAILABLE, sku), key);
                assert_eq!(style.sku_in(&key[AVAILABLE.len()..]).as_deref(), Some(sku));
            }
        }
        assert_eq!(Style::Tagged.of_id(RESERVATION, "r@1"), "reservation:{r@1}");
        assert_eq!(Style::Tagged.id_in("{r@1}").as_deref(), Some("r@1"));
        for wrong in ["", "P", "{}P", "{a}{b}", "{a"] {
            assert_eq!(Style::Tagged.sku_in(wrong), None, "{wrong}");
        }
        assert_eq!(Style::Plain.sku_in("@A"), None);
    }

    #[test]
    fn a_feed_is_that_of_the_tag() {
        for (id, key) in [("P", "{P}"), ("P@A", "{P}"), ("{s}:P@A", "{s}"), ("{s}:order@1", "{s}")] {
            assert_eq!(Style::Tagged.feed_of(id), format!("inventory:feed:{key}"));
            assert_eq!(Style::Plain.feed_of(id), "inventory:feed");
        }
    }

    #[test]
    fn a_quota_is_no_warehouse() {
        assert!(is_quota("P@@c") && !is_quota("P@c") && !is_quota("P"));
        assert_eq!((warehouse_of("P@c"), warehouse_of("P@@c"), warehouse_of("P")), (Some("c"), None, None));
    }
}
