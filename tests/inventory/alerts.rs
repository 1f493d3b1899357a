//! Threshold crossings and the alerts' JSON.

use redis_inventory::inventory::alert::{
    Alert,
    AlertType::{self, BackInStock, LowStock, OutOfStock},
    crossing,
};

#[test]
fn an_alert_is_raised_at_the_edge_and_not_at_the_level() {
    for (before, after, threshold, expected) in [
        // Falling to the threshold or below.
        (11, 10, 10, Some(LowStock)),
        (11, 1, 10, Some(LowStock)),
        (100, 10, 10, Some(LowStock)),
        (12, 11, 10, None),
        (10, 9, 10, None),
        (10, 1, 10, None),
        (2, 1, 1, Some(LowStock)),
        // Reaching 0: only this alert, even if the threshold is crossed too.
        (11, 0, 10, Some(OutOfStock)),
        (10, 0, 10, Some(OutOfStock)),
        (1, 0, 0, Some(OutOfStock)),
        (5, -1, 10, Some(OutOfStock)),
        // With a threshold of 0, stock is never low.
        (2, 1, 0, None),
        // With a negative threshold, there are no alerts.
        (11, 0, -1, None),
        (2, 1, -1, None),
        (0, 5, -1, None),
        (11, -2, -9, None),
        // Rising from 0, whatever the threshold.
        (0, 1, 10, Some(BackInStock)),
        (0, 100, 10, Some(BackInStock)),
        (-3, 1, 10, Some(BackInStock)),
        // Other increases, and no change.
        (1, 100, 10, None),
        (9, 11, 10, None),
        (-3, 0, 10, None),
        (0, 0, 10, None),
        (0, -1, 10, None),
        (10, 10, 10, None),
        (11, 11, 10, None),
    ] {
        assert_eq!(crossing(before, after, threshold), expected, "{before} -> {after} at {threshold}");
    }
}

#[test]
fn a_type_has_one_name_read_in_any_case() {
    for (kind, name) in
        [(LowStock, "LOW_STOCK"), (OutOfStock, "OUT_OF_STOCK"), (BackInStock, "BACK_IN_STOCK")]
    {
        assert_eq!(kind.name(), name);
        assert_eq!(AlertType::parse(name.as_bytes()), Some(kind));
        assert_eq!(AlertType::parse(name.to_lowercase().as_bytes()), Some(kind));
    }
    for name in ["", "LOW", "LOW_STOCK ", "LowStock"] {
        assert_eq!(AlertType::parse(name.as_bytes()), None);
    }
}

#[test]
fn an_alert_is_stored_as_the_contract_says() {
    let alert = Alert {
        product_id: "PROD-123".to_owned(),
        kind: LowStock,
        available: 9,
        threshold: 10,
        timestamp: 1_763_820_000_000,
    };
    let json = alert.to_json();
    assert_eq!(
        String::from_utf8(json.clone()).unwrap(),
        r#"{"product_id":"PROD-123","type":"LOW_STOCK","available":9,"threshold":10,"timestamp":1763820000000}"#
    );
    assert_eq!(Alert::from_json(&json), Some(alert));
}

#[test]
fn what_is_no_alert_is_none() {
    for text in [
        "",
        "{}",
        "null",
        r#"{"product_id":"P","type":"HIGH_STOCK","available":9,"threshold":10,"timestamp":1}"#,
        r#"{"product_id":"P","type":"LOW_STOCK","available":"9","threshold":10,"timestamp":1}"#,
    ] {
        assert_eq!(Alert::from_json(text.as_bytes()), None, "{text}");
    }
}
