//! How keys and skus are spelled.

use redis::cmd;

use crate::server::node::Node;
use crate::server::reason;
use crate::stock::{fields, take};

/// The key style of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `stock:available:P`.
    Plain,
    /// `stock:available:{P}`. A cluster always uses this style.
    Tagged,
}

impl Style {
    /// The style of a server without cluster mode. A user who may not ask for it finds out with INV.AUDIT, which says how the sku
    /// of a warehouse is spelled. One who may do neither writes skus as the server wants them.
    pub fn of(node: &mut Node) -> Self {
        let setting = node.ask(cmd("CONFIG").arg("GET").arg("inv.key-style"));
        if let Some(mut setting) = setting.ok().and_then(fields)
            && let Some(style) = take::<String>(&mut setting, "inv.key-style")
        {
            return if style == "tagged" { Self::Tagged } else { Self::Plain };
        }
        match node.ask(cmd("INV.AUDIT").arg("P@W")) {
            Err(error) if reason::text(&error).contains("is not in the slot of its product") => Self::Tagged,
            _ => Self::Plain,
        }
    }

    /// A sku as commands name it. In tagged style, the product of `P@W` needs braces.
    pub fn sku(self, sku: &str) -> String {
        match sku.split_once('@') {
            Some((product, warehouse)) if self == Self::Tagged && !product.contains('{') => {
                format!("{{{product}}}@{warehouse}")
            }
            _ => sku.to_owned(),
        }
    }

    /// An id in the name of a key.
    pub fn in_key(self, sku: &str) -> String {
        match self {
            Self::Plain => sku.to_owned(),
            Self::Tagged if sku.contains('{') => sku.to_owned(),
            Self::Tagged => match sku.split_once('@') {
                Some((product, rest)) => format!("{{{product}}}@{rest}"),
                None => format!("{{{sku}}}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Style;

    #[test]
    fn in_tagged_style_the_product_is_in_braces() {
        assert_eq!(Style::Plain.sku("P@W"), "P@W");
        assert_eq!(Style::Tagged.sku("P@W"), "{P}@W");
        assert_eq!(Style::Tagged.sku("P"), "P");
        assert_eq!(Style::Tagged.sku("{shop7}:P@W"), "{shop7}:P@W");
        assert_eq!(Style::Tagged.in_key("P"), "{P}");
        assert_eq!(Style::Tagged.in_key("P@W"), "{P}@W");
        assert_eq!(Style::Tagged.in_key("{shop7}:P"), "{shop7}:P");
        assert_eq!(Style::Plain.in_key("{P}"), "{P}");
    }
}
