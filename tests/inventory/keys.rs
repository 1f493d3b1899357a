//! Conversion of ids to key names and back.

use redis_inventory::inventory::key::{Key, OnceName, Watched, watched};
use redis_inventory::inventory::refusal::Refusal;
use redis_inventory::inventory::sku::{
    KeyStyle,
    KeyStyle::{Plain, Tagged},
    Product, ReservationId, Sku,
};

fn name(key: Key<'_>, style: KeyStyle) -> String {
    key.name(style)
}

/// The part of a key that a cluster hashes: the text in its first braces, or the whole key.
fn tag(name: &str) -> &str {
    let inside = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    inside.filter(|tag| !tag.is_empty()).unwrap_or(name)
}

#[test]
fn plain_names_are_those_of_the_lua_scripts() {
    let sku = Sku::parse(b"PROD-123", Plain).unwrap();
    let stored = Sku::parse(b"PROD-123@A", Plain).unwrap();
    let id = ReservationId::parse(b"RES-456", Plain).unwrap();
    for (key, expected) in [
        (Key::Available(&sku), "stock:available:PROD-123"),
        (Key::Available(&stored), "stock:available:PROD-123@A"),
        (Key::Reserved(&sku), "stock:reserved:PROD-123"),
        (Key::Reserved(&stored), "stock:reserved:PROD-123@A"),
        (Key::Reservation(&id), "reservation:RES-456"),
        (Key::Outcome(&id), "inventory:outcome:RES-456"),
        (Key::Warehouses("PROD-123"), "stock:warehouses:PROD-123"),
        (Key::Threshold("PROD-123"), "stock:threshold:PROD-123"),
        (Key::Floor(&sku), "stock:floor:PROD-123"),
        (Key::Limit("PROD-123"), "stock:limit:PROD-123"),
        (Key::Alert("PROD-123", 1_763_820_000_000), "alert:PROD-123:1763820000000"),
        (Key::Managed, "inventory:managed"),
        (Key::Feed("PROD-123"), "inventory:feed"),
    ] {
        assert_eq!(name(key, Plain), expected);
    }
}

#[test]
fn tagged_names_have_braces_around_the_product_or_the_id() {
    let sku = Sku::parse(b"PROD-123", Tagged).unwrap();
    let stored = Sku::parse(b"{PROD-123}@A", Tagged).unwrap();
    let id = ReservationId::parse(b"{RES-456}", Tagged).unwrap();
    for (key, expected) in [
        (Key::Available(&sku), "stock:available:{PROD-123}"),
        (Key::Available(&stored), "stock:available:{PROD-123}@A"),
        (Key::Reserved(&stored), "stock:reserved:{PROD-123}@A"),
        (Key::Reservation(&id), "reservation:{RES-456}"),
        (Key::Outcome(&id), "inventory:outcome:{RES-456}"),
        (Key::Warehouses("PROD-123"), "stock:warehouses:{PROD-123}"),
        (Key::Threshold("PROD-123"), "stock:threshold:{PROD-123}"),
        (Key::Floor(&sku), "stock:floor:{PROD-123}"),
        (Key::Limit("PROD-123"), "stock:limit:{PROD-123}"),
        (Key::Alert("PROD-123", 7), "alert:{PROD-123}:7"),
        (Key::Managed, "inventory:managed"),
        (Key::Feed("PROD-123"), "inventory:feed:{PROD-123}"),
        (Key::Feed("{shop7}:PROD-123"), "inventory:feed:{shop7}"),
    ] {
        assert_eq!(name(key, Tagged), expected);
    }
}

#[test]
fn a_tag_inside_an_id_is_not_tagged_again() {
    let sku = Sku::parse(b"{shop7}:P@A", Tagged).unwrap();
    let id = ReservationId::parse(b"{shop7}:RES-1", Tagged).unwrap();
    assert_eq!(name(Key::Available(&sku), Tagged), "stock:available:{shop7}:P@A");
    assert_eq!(name(Key::Reservation(&id), Tagged), "reservation:{shop7}:RES-1");
    assert_eq!(name(Key::Alert("{shop7}:P", 7), Tagged), "alert:{shop7}:P:7");
}

#[test]
fn all_keys_of_a_command_are_in_the_slot_of_what_it_names() {
    for text in ["R", "{R}", "R@shop", "{R}@shop", "{R@shop}", "{shop7}:R", "a{b}c@d"] {
        let id = ReservationId::parse(text.as_bytes(), Tagged).unwrap();
        let once = OnceName::new("commit", id.as_str(), b"token", Tagged).unwrap();
        let slot = tag(text);
        assert_eq!(tag(&name(Key::Reservation(&id), Tagged)), slot, "the record of {text}");
        assert_eq!(tag(&name(Key::Outcome(&id), Tagged)), slot, "the outcome of {text}");
        assert_eq!(tag(&name(Key::Once(&once), Tagged)), slot, "the ONCE answer of {text}");
    }
    for text in ["P", "{P}", "{P}@A", "{shop7}:P", "{shop7}:P@A", "a{b}c@d", "{P}@@ann", "{P}@@{ann}@x"] {
        let sku = Sku::parse_any(text.as_bytes(), Tagged).unwrap();
        let once = OnceName::of_sku("adjust", &sku, b"token", Tagged).unwrap();
        let slot = tag(text);
        for key in [
            Key::Available(&sku),
            Key::Reserved(&sku),
            Key::Warehouses(sku.product()),
            Key::Floor(&sku),
            Key::Limit(sku.product()),
            Key::Threshold(sku.product()),
            Key::Alert(sku.product(), 7),
            Key::Feed(sku.product()),
            Key::Once(&once),
        ] {
            assert_eq!(tag(&name(key, Tagged)), slot, "{key:?} of {text}");
        }
    }
}

/// The quota of a buyer is split at the first `@@`, and the buyer may be anything that an id may be.
#[test]
fn a_quota_has_the_name_of_its_product_and_of_its_buyer() {
    for (text, product, buyer) in [
        ("PS5@@cust7", "PS5", "cust7"),
        ("PS5@@@cust7", "PS5", "@cust7"),
        ("PS5@@a@@b", "PS5", "a@@b"),
        ("PS5@@{x}", "PS5", "{x}"),
        ("PS5@@a b:c", "PS5", "a b:c"),
    ] {
        let quota = Sku::parse_any(text.as_bytes(), Plain).unwrap();
        assert_eq!((quota.product(), quota.buyer()), (product, Some(buyer)), "{text}");
        assert_eq!((quota.warehouse(), quota.is_quota(), quota.as_str()), (None, true, text));
        assert_eq!(Product::of(&quota).as_str(), product);
        assert_eq!(Sku::replicated(text.as_bytes(), Plain), Some(quota.clone()));
        assert_eq!(name(Key::Available(&quota), Plain), format!("stock:available:{text}"));
        let known = watched(format!("stock:reserved:{text}").as_bytes(), Plain);
        assert_eq!(known, Some(Watched::Reserved(quota)), "{text}");
        let refused = Sku::parse(text.as_bytes(), Plain).unwrap_err().to_string();
        assert!(refused.contains("only INV.ADJUST, INV.AUDIT and INV.REPAIR accept it"), "{refused}");
        assert!(Product::parse(text.as_bytes(), Plain).is_err());
        assert_eq!(
            watched(format!("stock:floor:{text}").as_bytes(), Plain),
            None,
            "a quota has no floor of its own"
        );
    }
    for text in ["@@b", "PS5@@", "PS5@@a\u{7}", "PS5@A@@b", "PS5@"] {
        assert!(Sku::parse_any(text.as_bytes(), Plain).is_err(), "{text}");
    }
    let long = format!("PS5@@{}", "b".repeat(257));
    assert!(Sku::parse_any(long.as_bytes(), Plain).is_err());
    for plain in ["PS5", "PS5@A"] {
        let sku = Sku::parse_any(plain.as_bytes(), Plain).unwrap();
        assert_eq!((sku.is_quota(), Some(sku)), (false, Sku::parse(plain.as_bytes(), Plain).ok()));
    }
    let tagged = Sku::parse_any(b"{PS5}@@{x}", Tagged).unwrap();
    assert_eq!((tagged.product(), tagged.buyer()), ("PS5", Some("{x}")));
    assert_eq!(name(Key::Available(&tagged), Tagged), "stock:available:{PS5}@@{x}");
    let refused = Sku::parse_any(b"PS5@@{x}", Tagged).unwrap_err().to_string();
    assert!(refused.ends_with("write {PS5}@@{x}"), "{refused}");
}

#[test]
fn no_id_and_token_share_the_name_of_another_id_and_token() {
    let name_of = |id: &str, token: &str| {
        name(Key::Once(&OnceName::new("commit", id, token.as_bytes(), Plain).unwrap()), Plain)
    };
    assert_eq!(name_of("R", "t1"), "inventory:once:commit:1:R:t1");
    assert_ne!(name_of("R", "a:b"), name_of("R:a", "b"));
    assert_ne!(name_of("1:R", "t"), name_of("1", "R:t"));
    let other = OnceName::new("rollback", "R", b"t1", Plain).unwrap();
    assert_eq!(name(Key::Once(&other), Plain), "inventory:once:rollback:1:R:t1");
}

#[test]
fn a_once_token_is_an_id() {
    for (token, expected) in [
        (&b""[..], "ERR ONCE token is empty"),
        (b"a\0b", "ERR ONCE token contains a control character"),
        (b"\xff", "ERR ONCE token is not valid UTF-8"),
    ] {
        let refused = Refusal::from(OnceName::new("commit", "R", token, Plain).unwrap_err());
        assert_eq!(refused.to_string(), expected);
    }
    let name = OnceName::new("commit", "R", b"t", Plain).unwrap();
    assert_eq!(OnceName::replicated(name.as_str().as_bytes()), Some(name));
}

#[test]
fn an_event_names_what_the_module_watches() {
    let id = |text: &str, style| ReservationId::parse(text.as_bytes(), style).unwrap();
    let product = |text: &str, style| Product::parse(text.as_bytes(), style).unwrap();
    let sku = |text: &str, style| Sku::parse(text.as_bytes(), style).unwrap();
    for (name, style, expected) in [
        ("reservation:R-1", Plain, Some(Watched::Reservation(Some(id("R-1", Plain))))),
        ("reservation:{R-1}", Plain, Some(Watched::Reservation(Some(id("{R-1}", Plain))))),
        ("reservation:{R-1}", Tagged, Some(Watched::Reservation(Some(id("R-1", Tagged))))),
        ("inventory:outcome:R-1", Plain, Some(Watched::Outcome(id("R-1", Plain)))),
        ("inventory:outcome:{R-1}", Tagged, Some(Watched::Outcome(id("R-1", Tagged)))),
        ("stock:threshold:P", Plain, Some(Watched::Threshold(product("P", Plain)))),
        ("stock:threshold:{P}", Tagged, Some(Watched::Threshold(product("P", Tagged)))),
        ("alert:P:7", Plain, Some(Watched::Alert(product("P", Plain), 7))),
        ("alert:a:b:7", Plain, Some(Watched::Alert(product("a:b", Plain), 7))),
        ("alert:{P}:7", Tagged, Some(Watched::Alert(product("P", Tagged), 7))),
        ("stock:available:P", Plain, Some(Watched::Available)),
        ("stock:reserved:P@A", Plain, Some(Watched::Reserved(sku("P@A", Plain)))),
        ("stock:reserved:{P}@A", Tagged, Some(Watched::Reserved(sku("{P}@A", Tagged)))),
        ("inventory:managed", Plain, Some(Watched::Managed)),
        ("inventory:managed:", Plain, None),
        ("inventory:feed", Plain, None),
        ("stock:warehouses:P", Plain, Some(Watched::Warehouses(product("P", Plain)))),
        ("stock:warehouses:{P}", Tagged, Some(Watched::Warehouses(product("P", Tagged)))),
        ("stock:floor:P@A", Plain, Some(Watched::Floor(sku("P@A", Plain)))),
        ("stock:floor:{P}@A", Tagged, Some(Watched::Floor(sku("{P}@A", Tagged)))),
        ("stock:floor:P", Tagged, None),
        ("stock:floor:P@", Plain, None),
        ("stock:warehouses:{P}", Plain, Some(Watched::Warehouses(product("{P}", Plain)))),
        ("reservation", Plain, None),
        ("Reservation:R", Plain, None),
        ("session:1", Plain, None),
        ("", Plain, None),
    ] {
        assert_eq!(watched(name.as_bytes(), style), expected, "{name} {style:?}");
    }
}

#[test]
fn a_reservation_key_that_spells_no_id_can_only_be_foreign() {
    for (name, style) in [
        (&b"reservation:"[..], Plain),
        (b"reservation:\xff", Plain),
        (b"reservation:a\nb", Plain),
        // In this style, the module's own name for this id has braces.
        (b"reservation:R-1", Tagged),
        (b"reservation:{}", Tagged),
        (b"reservation:{a}{b}", Tagged),
    ] {
        assert_eq!(watched(name, style), Some(Watched::Reservation(None)), "{name:?} {style:?}");
    }
}

#[test]
fn other_keys_that_are_no_names_of_the_module_are_not_watched() {
    for (name, style) in [
        ("alert:P:soon", Plain),
        ("alert:7", Plain),
        ("alert:P:07", Plain),
        ("alert::7", Plain),
        ("alert:P@A:7", Plain),
        ("alert:P:7", Tagged),
        ("stock:threshold:P@A", Plain),
        ("stock:threshold:P", Tagged),
        ("stock:reserved:P", Tagged),
        ("stock:reserved:P@A@B", Plain),
        ("inventory:outcome:", Plain),
        ("inventory:outcome:R", Tagged),
    ] {
        assert_eq!(watched(name.as_bytes(), style), None, "{name} {style:?}");
    }
}

#[test]
fn the_longest_ids_are_read_from_the_names_of_their_keys() {
    let long = "x".repeat(256);
    for style in [Plain, Tagged] {
        let id = ReservationId::parse(long.as_bytes(), style).unwrap();
        let product = Product::parse(long.as_bytes(), style).unwrap();
        let skus = [Sku::from(&product), Sku::from_parts(&long, Some(&long), style).unwrap()];
        for (key, expected) in [
            (Key::Reservation(&id), Watched::Reservation(Some(id.clone()))),
            (Key::Outcome(&id), Watched::Outcome(id.clone())),
            (Key::Threshold(&long), Watched::Threshold(product.clone())),
            (Key::Alert(&long, 7), Watched::Alert(product.clone(), 7)),
            (Key::Reserved(&skus[0]), Watched::Reserved(skus[0].clone())),
            (Key::Reserved(&skus[1]), Watched::Reserved(skus[1].clone())),
        ] {
            assert_eq!(watched(key.name(style).as_bytes(), style), Some(expected), "{style:?}");
        }
    }
}
