//! Valid and invalid ids.

use redis_inventory::inventory::refusal::Refusal;
use redis_inventory::inventory::sku::{
    InvalidText,
    KeyStyle::{self, Plain, Tagged},
    MAX_ID_BYTES, Product, ReservationId, Sku,
};

/// The parsed id as users see it, or the refusal.
fn read<T: ToString>(parsed: Result<T, InvalidText>) -> String {
    parsed.map_or_else(|invalid| Refusal::from(invalid).to_string(), |id| id.to_string())
}

fn reservation(text: impl AsRef<[u8]>, style: KeyStyle) -> String {
    read(ReservationId::parse(text.as_ref(), style))
}

fn product(text: impl AsRef<[u8]>, style: KeyStyle) -> String {
    read(Product::parse(text.as_ref(), style))
}

fn sku(text: impl AsRef<[u8]>, style: KeyStyle) -> String {
    read(Sku::parse(text.as_ref(), style))
}

#[test]
fn an_id_is_1_to_256_bytes() {
    for style in [Plain, Tagged] {
        assert_eq!(reservation("", style), "ERR reservation id is empty");
        assert_eq!(product("", style), "ERR product is empty");
        assert_eq!(sku("", style), "ERR sku is empty");
        let longest = "x".repeat(MAX_ID_BYTES);
        let longer = "x".repeat(MAX_ID_BYTES + 1);
        assert_eq!(reservation(&longest, style), longest);
        assert_eq!(product(&longest, style), longest);
        assert_eq!(sku(&longest, style), longest);
        assert_eq!(
            reservation(&longer, style),
            "ERR reservation id has 257 bytes, but at most 256 are allowed"
        );
        assert_eq!(product(&longer, style), "ERR product has 257 bytes, but at most 256 are allowed");
        assert_eq!(sku(&longer, style), "ERR sku has 257 bytes, but at most 256 are allowed");
    }
}

#[test]
fn the_limit_holds_for_each_part_of_a_sku() {
    let part = "x".repeat(MAX_ID_BYTES);
    assert_eq!(sku(format!("{part}@{part}"), Plain), format!("{part}@{part}"));
    assert_eq!(
        sku(format!("{part}x@{part}"), Plain),
        "ERR sku has 514 bytes, but its product and its warehouse may have at most 256 each"
    );
    assert_eq!(sku(format!("{part}x@w"), Plain), "ERR product has 257 bytes, but at most 256 are allowed");
    assert_eq!(sku(format!("P@{part}x"), Plain), "ERR warehouse has 257 bytes, but at most 256 are allowed");
}

#[test]
fn braces_around_a_whole_id_do_not_count() {
    let longest = "x".repeat(MAX_ID_BYTES);
    assert_eq!(reservation(format!("{{{longest}}}"), Tagged), longest);
    assert_eq!(product(format!("{{{longest}}}"), Tagged), longest);
    assert_eq!(sku(format!("{{{longest}}}@{longest}"), Tagged), format!("{longest}@{longest}"));
    assert_eq!(
        reservation(format!("{{{longest}x}}"), Tagged),
        "ERR reservation id has 257 bytes, but at most 256 are allowed"
    );
    assert_eq!(
        reservation(format!("{{{longest}}}"), Plain),
        "ERR reservation id has 258 bytes, but at most 256 are allowed"
    );
    // A tag within an id is part of it.
    assert_eq!(
        reservation(format!("{{t}}{longest}"), Tagged),
        "ERR reservation id has 259 bytes, but at most 256 are allowed"
    );
}

#[test]
fn the_limit_is_counted_in_bytes_not_in_characters() {
    assert_eq!(reservation("é".repeat(128), Plain), "é".repeat(128));
    assert_eq!(
        reservation("é".repeat(129), Plain),
        "ERR reservation id has 258 bytes, but at most 256 are allowed"
    );
}

#[test]
fn an_id_is_utf8_without_control_characters() {
    for style in [Plain, Tagged] {
        assert_eq!(reservation("commande-é-注文 1", style), "commande-é-注文 1");
        assert_eq!(reservation(b"R\xff", style), "ERR reservation id is not valid UTF-8");
        assert_eq!(sku(b"P@\xff", style), "ERR warehouse is not valid UTF-8");
        for control in ["R\0", "R\n", "\tR", "R\u{7f}", "R\u{85}"] {
            assert_eq!(reservation(control, style), "ERR reservation id contains a control character");
            assert_eq!(product(control, style), "ERR product contains a control character");
        }
    }
}

#[test]
fn a_reservation_id_may_hold_an_at_sign_and_a_product_may_not() {
    assert_eq!(reservation("cart@shop@7", Plain), "cart@shop@7");
    assert_eq!(reservation("cart@shop", Tagged), "cart@shop");
    for style in [Plain, Tagged] {
        assert_eq!(
            product("P@north", style),
            "ERR product 'P@north' contains '@': name the product without a warehouse"
        );
    }
}

#[test]
fn a_sku_is_a_product_or_a_product_in_a_warehouse() {
    let alone = Sku::parse(b"PROD-123", Plain).unwrap();
    assert_eq!((alone.product(), alone.warehouse()), ("PROD-123", None));
    let stored = Sku::parse(b"PROD-123@A", Plain).unwrap();
    assert_eq!((stored.product(), stored.warehouse()), ("PROD-123", Some("A")));
    assert_eq!(Sku::from(&Product::parse(b"PROD-123", Plain).unwrap()), alone);
}

#[test]
fn a_sku_has_one_at_sign_with_something_on_both_sides() {
    assert_eq!(sku("P@", Plain), "ERR warehouse is empty");
    assert_eq!(sku("@A", Plain), "ERR product is empty");
    assert_eq!(sku("@", Plain), "ERR product is empty");
    assert_eq!(sku("P@A@B", Plain), "ERR warehouse 'A@B' contains '@'");
    assert_eq!(
        sku("P@@A", Plain),
        "ERR 'P@@A' is the quota of a buyer: only INV.ADJUST, INV.AUDIT and INV.REPAIR accept it"
    );
}

#[test]
fn in_plain_style_braces_mean_nothing() {
    for text in ["{P}", "a{P}b", "{}", "}{", "{{P}}", "{P", "P}", "{a}{b}"] {
        assert_eq!(reservation(text, Plain), text);
        assert_eq!(product(text, Plain), text);
        assert_eq!(sku(text, Plain), text);
        assert_eq!(sku(format!("{text}@{text}"), Plain), format!("{text}@{text}"));
    }
}

#[test]
fn in_tagged_style_an_id_with_and_without_braces_around_it_is_one_id() {
    assert_eq!(reservation("{RES-456}", Tagged), "RES-456");
    assert_eq!(product("{PROD-123}", Tagged), "PROD-123");
    assert_eq!(sku("{PROD-123}", Tagged), "PROD-123");
    assert_eq!(sku("{PROD-123}@A", Tagged), "PROD-123@A");
    let parse = |text: &str| ReservationId::parse(text.as_bytes(), Tagged).unwrap();
    assert_eq!(parse("{X}"), parse("X"));
}

#[test]
fn in_tagged_style_a_tag_inside_an_id_stays() {
    for text in ["{shop7}:RES-1", "RES-1:{shop7}", "a{b}c"] {
        assert_eq!(reservation(text, Tagged), text);
        assert_eq!(product(text, Tagged), text);
        assert_eq!(sku(text, Tagged), text);
        assert_eq!(sku(format!("{text}@A"), Tagged), format!("{text}@A"));
    }
}

#[test]
fn in_tagged_style_braces_are_exactly_one_tag_that_is_not_empty() {
    for text in ["{}", "a{}b", "{a}{b}", "{{a}}", "{a}}", "{{a}", "}{a}"] {
        let refusal = format!(
            "ERR product '{text}' must have exactly one hash tag in braces, and it must not be empty"
        );
        assert_eq!(product(text, Tagged), refusal);
    }
    assert_eq!(product("{a", Tagged), "ERR product '{a' has a '{' without a '}'");
    assert_eq!(product("}{", Tagged), "ERR product '}{' has a '{' without a '}'");
    assert_eq!(product("a}", Tagged), "ERR product 'a}' has a '}' without a '{'");
    assert_eq!(reservation("a}", Tagged), "ERR reservation id 'a}' has a '}' without a '{'");
    assert_eq!(sku("a}", Tagged), "ERR sku 'a}' has a '}' without a '{'");
    assert_eq!(
        sku("{}@A", Tagged),
        "ERR product '{}' must have exactly one hash tag in braces, and it must not be empty"
    );
}

#[test]
fn in_tagged_style_a_warehouse_follows_its_products_tag() {
    assert_eq!(
        sku("PROD-123@A", Tagged),
        "ERR sku 'PROD-123@A' is not in the slot of its product: write {PROD-123}@A"
    );
    for warehouse in ["{A}", "A{", "}A"] {
        let refusal = format!("ERR warehouse '{warehouse}' contains braces");
        assert_eq!(sku(format!("{{P}}@{warehouse}"), Tagged), refusal);
    }
}

#[test]
fn a_sku_is_read_back_from_its_replicated_spelling() {
    for (style, texts) in
        [(Plain, ["P", "P@A", "{P}@{A}", "a{b}c@d"]), (Tagged, ["P", "{P}", "{P}@A", "a{b}c@d"])]
    {
        for text in texts {
            let sku = Sku::parse(text.as_bytes(), style).unwrap();
            assert_eq!(Sku::replicated(sku.as_str().as_bytes(), style), Some(sku), "{text}");
        }
    }
    for text in ["", "@", "P@", "@A", "P@A@B", "P\0"] {
        assert_eq!(Sku::replicated(text.as_bytes(), Plain), None, "{text:?}");
    }
    assert_eq!(Sku::replicated(b"P\xff", Plain), None);
}
