//! Fuzzes the arguments of every command. The input is one call, as typed into redis-cli.
//!
//! It is parsed in both styles and with two configurations. A refusal must be an `ERR` of one line. An accepted call must be
//! within the limits, and must be parsed the same after it is spelled again.

use std::collections::HashSet;
use std::fmt::Debug;

use redis_inventory::commands::{Change, Request};
use redis_inventory::engine::alerts::AlertQuery;
use redis_inventory::engine::batch::MOST_LINES;
use redis_inventory::engine::feed::Note;
use redis_inventory::engine::keyspace::Settings;
use redis_inventory::engine::replace::ReplaceRequest;
use redis_inventory::engine::reserve::ReserveRequest;
use redis_inventory::engine::resolve::{ExtendRequest, ResolveRequest};
use redis_inventory::engine::restock::{AdjustRequest, Measure, SetRequest};
use redis_inventory::engine::warehouses::TransferRequest;
use redis_inventory::engine::{effects, places};
use redis_inventory::inventory::alert::OFF;
use redis_inventory::inventory::allocation::Split;
use redis_inventory::inventory::key::Key;
use redis_inventory::inventory::lifetime::Lifetime;
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::once::Once;
use redis_inventory::inventory::pattern::Pattern;
use redis_inventory::inventory::priority::Priority;
use redis_inventory::inventory::quantity::MAX_EXACT;
use redis_inventory::inventory::sku::{KeyStyle, MAX_ID_BYTES, Product, ReservationId, Sku, Warehouse};

use super::simulation::settings;
use super::words::words;

/// Panics if something is parsed wrongly.
pub fn check(data: &[u8]) {
    let words = words(data);
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let narrow = Settings { max_items: 2, max_data_bytes: 8, max_batch: 2, ..settings() };
    for style in [KeyStyle::Plain, KeyStyle::Tagged] {
        for settings in [settings(), narrow] {
            match Request::read(&words, style, &settings) {
                None => {}
                Some(Ok(request)) => check_request(&request, &words, style, &settings),
                Some(Err(refusal)) => {
                    let text = refusal.to_string();
                    assert!(text.starts_with("ERR "), "{text}");
                    // A line break would end the reply, and what follows it would be taken for another.
                    assert!(!text.chars().any(char::is_control), "{text:?}");
                    assert!(text.len() < 4096, "{} bytes: {text}", text.len());
                }
            }
        }
    }
    if let [b"INV.APPLY", arguments @ ..] = words.as_slice() {
        check_replicated(arguments);
    }
}

/// Parses the arguments as a command from a master, which may be refused.
fn check_replicated(arguments: &[&[u8]]) {
    match effects::parse(arguments) {
        Ok((_, effects)) => assert_eq!(effects.len() * 4 + 1, arguments.len()),
        Err(refusal) => assert_eq!(refusal.code(), "ERR"),
    }
}

fn check_request(request: &Request, words: &[&[u8]], style: KeyStyle, settings: &Settings) {
    check_limits(request, settings);
    let spelled = spell(request, style);
    // A generated id differs each time.
    let is_generated =
        words.get(1).is_some_and(|id| id.ends_with(b"*")) && matches!(request, Request::Reserve(_));
    let again: Vec<&[u8]> = spelled.iter().map(String::as_bytes).collect();
    let read = Request::read(&again, style, settings);
    let Some(Ok(read)) = read else { panic!("{spelled:?}: {read:?}") };
    if !is_generated {
        assert_same(&read, request, &spelled);
    }
}

fn assert_same(read: &impl Debug, request: &impl Debug, spelled: &[String]) {
    assert_eq!(format!("{read:?}"), format!("{request:?}"), "{spelled:?}");
}

fn check_limits(request: &Request, settings: &Settings) {
    let exact = -MAX_EXACT..=MAX_EXACT;
    match request {
        Request::Replace(ReplaceRequest {
            old,
            new,
            lifetime,
            data,
            buyer,
            split: _,
            partial: _,
            items,
            once,
        }) => {
            check_id(old.as_str());
            check_id(new.as_str());
            check_lifetime(*lifetime);
            check_items(items, settings);
            check_once(once.as_ref());
            buyer.iter().for_each(|buyer| check_id(buyer));
            if let Some(data) = data {
                check_text(data);
                assert!(data.len() <= settings.max_data_bytes);
            }
        }
        Request::Reserve(ReserveRequest { id, lifetime, data, buyer, split: _, partial: _, items, once }) => {
            check_id(id.as_str());
            check_lifetime(*lifetime);
            check_items(items, settings);
            check_once(once.as_ref());
            buyer.iter().for_each(|buyer| check_id(buyer));
            if let Some(data) = data {
                check_text(data);
                assert!(data.len() <= settings.max_data_bytes);
            }
        }
        Request::MReserve(requests) => {
            assert!((1..=settings.max_batch).contains(&requests.len()));
            assert!(requests.iter().map(|request| request.items.len()).sum::<usize>() <= MOST_LINES);
            for ReserveRequest { id, lifetime, data, buyer, split: _, partial, items, once } in requests {
                check_id(id.as_str());
                check_lifetime(*lifetime);
                check_items(items, settings);
                assert!(data.is_none() && buyer.is_none() && once.is_none() && !partial);
            }
        }
        Request::MCommit(ids) | Request::MRollback(ids) => {
            assert!((1..=settings.max_batch).contains(&ids.len()));
            ids.iter().for_each(|id| check_id(id.as_str()));
        }
        Request::Commit(request) | Request::Rollback(request) => {
            let ResolveRequest { id, part, late, fence, once } = request;
            check_id(id.as_str());
            assert!(part.is_none() || !(*late || *fence));
            part.iter().for_each(|part| check_items(part, settings));
            check_once(once.as_ref());
        }
        Request::Extend(ExtendRequest { id, lifetime, once }) => {
            check_id(id.as_str());
            assert_ne!(*lifetime, Lifetime::Default);
            check_lifetime(*lifetime);
            check_once(once.as_ref());
        }
        Request::Adjust(AdjustRequest { sku, delta, force: _, once, note }) => {
            check_sku(sku);
            assert!(exact.contains(delta));
            check_once(once.as_ref());
            check_note(note.as_ref(), settings);
        }
        Request::Set(SetRequest { sku, measure: _, units, if_equal, force: _, once, note }) => {
            check_sku(sku);
            assert!((0..=MAX_EXACT).contains(units));
            assert!(if_equal.is_none_or(|current| exact.contains(&current)));
            check_once(once.as_ref());
            check_note(note.as_ref(), settings);
        }
        Request::Transfer(TransferRequest { product, from, to, quantity, once, note }) => {
            check_id(product.as_str());
            check_id(from.as_str());
            check_id(to.as_str());
            assert!((1..=MAX_EXACT).contains(&quantity.units()));
            check_once(once.as_ref());
            check_note(note.as_ref(), settings);
        }
        Request::Warehouses(product, change) => {
            check_id(product.as_str());
            match change {
                Change::Remove(warehouse) => check_id(warehouse.as_str()),
                Change::Set(places) => {
                    assert!((1..=places::MOST).contains(&places.len()));
                    let mut names = HashSet::new();
                    for (warehouse, priority) in places {
                        check_id(warehouse.as_str());
                        match priority {
                            Priority::Number(number) => assert!(exact.contains(number)),
                            Priority::Closed => {}
                        }
                        assert!(names.insert(warehouse), "{warehouse} stands twice");
                    }
                }
            }
        }
        Request::Floor(sku, units) => {
            check_sku(sku);
            assert!(exact.contains(units));
        }
        Request::Limit(product, units) => {
            check_id(product.as_str());
            assert!(units.is_none_or(|units| (0..=MAX_EXACT).contains(&units)));
        }
        Request::Quota(product, buyer) => {
            check_id(product.as_str());
            check_id(buyer);
        }
        Request::Threshold(product, units) => {
            check_id(product.as_str());
            assert!(units.is_none_or(|units| (OFF..=MAX_EXACT).contains(&units)));
        }
        Request::Stock(products) => {
            assert!(!products.is_empty());
            products.iter().for_each(|product| check_id(product.as_str()));
        }
        Request::Alerts(AlertQuery { product, kind: _, since, before, count }) => {
            product.iter().for_each(|product| check_id(product.as_str()));
            assert!(*since >= 0 && before.is_none_or(|before| before >= 0) && *count > 0);
        }
        Request::Scan(query) => {
            query.product.iter().for_each(|product| check_id(product.as_str()));
            assert!(query.count > 0);
        }
        Request::StockScan(query) => assert!(query.count > 0),
        Request::AuditScan(_, count) => assert!(*count > 0),
        Request::Get(id) => check_id(id.as_str()),
        Request::Audit(sku) | Request::Repair(sku, _) => check_sku(sku),
    }
}

fn check_text(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

fn check_note(note: Option<&Note>, settings: &Settings) {
    if let Some(Note { text, user }) = note {
        check_text(text);
        assert!(text.len() <= settings.max_data_bytes);
        assert_eq!(*user, None, "the caller knows the user");
    }
}

fn check_id(id: &str) {
    assert!((1..=MAX_ID_BYTES).contains(&id.len()), "an id of {} bytes", id.len());
    check_text(id);
}

fn check_sku(sku: &Sku) {
    check_id(sku.product());
    sku.warehouse().iter().for_each(|warehouse| check_id(warehouse));
}

fn check_items(items: &[Line], settings: &Settings) {
    assert!((1..=settings.max_items).contains(&items.len()));
    let mut skus = HashSet::new();
    for Line { sku, quantity } in items {
        check_sku(sku);
        assert!((1..=MAX_EXACT).contains(&quantity.units()));
        assert!(skus.insert(sku), "{sku} stands twice");
    }
}

fn check_lifetime(lifetime: Lifetime) {
    match lifetime {
        Lifetime::Default => {}
        Lifetime::For(ms) | Lifetime::Until(ms) => assert!(ms > 0),
    }
}

fn check_once(once: Option<&Once>) {
    if let Some(once) = once {
        check_text(once.name.as_str());
        check_id(&token(once));
        assert!(!once.asked.is_empty() || once.name.as_str().starts_with("reserve:"), "{once:?}");
    }
}

/// The token in a name, which follows a kind, the length of the id, and the id.
fn token(once: &Once) -> String {
    let (_, rest) = once.name.as_str().split_once(':').unwrap();
    let (length, rest) = rest.split_once(':').unwrap();
    let (_, token) = rest.split_at(length.parse().unwrap());
    token.strip_prefix(':').unwrap().to_owned()
}

/// Spells the words of a call for this request.
fn spell(asked: &Request, style: KeyStyle) -> Vec<String> {
    let rest = |name: String, prefix: &str| name.strip_prefix(prefix).unwrap().to_owned();
    let sku = |sku: &Sku| rest(Key::Reserved(sku).name(style), "stock:reserved:");
    let product = |product: &Product| rest(Key::Threshold(product.as_str()).name(style), "stock:threshold:");
    let id = |id: &ReservationId| rest(Key::Reservation(id).name(style), "reservation:");
    let name = |warehouse: &Warehouse| warehouse.as_str().to_owned();
    let word = |word: &str| word.to_owned();
    let option =
        |name: &str, value: Option<String>| value.map_or(vec![], |value| vec![name.to_owned(), value]);
    let once = |once: &Option<Once>| option("once", once.as_ref().map(token));
    let note = |note: &Option<Note>| option("note", note.as_ref().map(|note| note.text.clone()));
    let flag = |name: &str, is_given: bool| if is_given { vec![name.to_owned()] } else { vec![] };
    let pattern = |pattern: &Option<Pattern>| {
        option("match", pattern.as_ref().map(|pattern| pattern.as_str().to_owned()))
    };
    let lifetime = |lifetime: Lifetime| match lifetime {
        Lifetime::Default => vec![],
        // A time in seconds may be more milliseconds than PX accepts.
        Lifetime::For(ms) if ms > MAX_EXACT => vec![word("ex"), (ms / 1000).to_string()],
        Lifetime::For(ms) => vec![word("px"), ms.to_string()],
        Lifetime::Until(at) if at > MAX_EXACT => vec![word("exat"), (at / 1000).to_string()],
        Lifetime::Until(at) => vec![word("pxat"), at.to_string()],
    };
    let items = |items: &[Line]| -> Vec<String> {
        let lines = items.iter().flat_map(|line| [sku(&line.sku), line.quantity.units().to_string()]);
        [word("items")].into_iter().chain(lines).collect()
    };
    let split = |split: Split| {
        let name = match split {
            Split::Priority => "priority",
            Split::Fewest => "fewest",
            Split::None => "none",
        };
        option("split", Some(word(name)))
    };
    let partial = |partial: bool| if partial { vec![word("partial")] } else { vec![] };
    match asked {
        Request::Replace(request) => [
            vec![word("inv.replace"), id(&request.old), id(&request.new)],
            option("data", request.data.clone()),
            option("buyer", request.buyer.clone()),
            split(request.split),
            partial(request.partial),
            once(&request.once),
            lifetime(request.lifetime),
            items(&request.items),
        ]
        .concat(),
        Request::Reserve(request) => [
            vec![word("inv.reserve"), id(&request.id)],
            option("data", request.data.clone()),
            option("buyer", request.buyer.clone()),
            split(request.split),
            partial(request.partial),
            once(&request.once),
            lifetime(request.lifetime),
            items(&request.items),
        ]
        .concat(),
        Request::MReserve(requests) => {
            let one = |request: &ReserveRequest| {
                let lines = items(&request.items);
                [vec![id(&request.id), request.items.len().to_string()], lines[1..].to_vec()].concat()
            };
            [
                vec![word("inv.mreserve")],
                lifetime(requests[0].lifetime),
                vec![requests.len().to_string()],
                requests.iter().flat_map(one).collect(),
            ]
            .concat()
        }
        Request::MCommit(ids) | Request::MRollback(ids) => {
            let command = if matches!(asked, Request::MCommit(_)) { "inv.mcommit" } else { "inv.mrollback" };
            [vec![word(command)], ids.iter().map(&id).collect()].concat()
        }
        Request::Commit(request) | Request::Rollback(request) => {
            let is_sale = matches!(asked, Request::Commit(_));
            let command = if is_sale { "inv.commit" } else { "inv.rollback" };
            [
                vec![word(command), id(&request.id)],
                once(&request.once),
                flag("late", request.late),
                flag("fence", request.fence),
                request.part.as_ref().map_or(vec![], |part| items(part)),
            ]
            .concat()
        }
        Request::Extend(request) => {
            [vec![word("inv.extend"), id(&request.id)], once(&request.once), lifetime(request.lifetime)]
                .concat()
        }
        Request::Adjust(request) => {
            let words = vec![word("inv.adjust"), sku(&request.sku), request.delta.to_string()];
            [words, once(&request.once), flag("force", request.force), note(&request.note)].concat()
        }
        Request::Set(request) => {
            let measure = match request.measure {
                Measure::Available => "available",
                Measure::OnHand => "onhand",
            };
            [
                vec![word("inv.set"), sku(&request.sku)],
                option("ifeq", request.if_equal.map(|current| current.to_string())),
                once(&request.once),
                note(&request.note),
                flag("force", request.force),
                option(measure, Some(request.units.to_string())),
            ]
            .concat()
        }
        Request::Transfer(request) => [
            vec![word("inv.transfer"), product(&request.product), name(&request.from), name(&request.to)],
            vec![request.quantity.units().to_string()],
            once(&request.once),
            note(&request.note),
        ]
        .concat(),
        Request::Warehouses(of, Change::Remove(warehouse)) => {
            vec![word("inv.warehouses"), product(of), word("del"), name(warehouse)]
        }
        Request::Warehouses(of, Change::Set(places)) => {
            let priority = |priority: &Priority| match priority {
                Priority::Number(number) => number.to_string(),
                Priority::Closed => word("closed"),
            };
            let places = places.iter().flat_map(|(place, order)| [name(place), priority(order)]);
            [word("inv.warehouses"), product(of), word("set")].into_iter().chain(places).collect()
        }
        Request::Floor(of, units) => vec![word("inv.floor"), sku(of), units.to_string()],
        Request::Limit(of, units) => {
            let units = units.map_or_else(|| word("off"), |units| units.to_string());
            vec![word("inv.limit"), product(of), units]
        }
        Request::Quota(of, buyer) => vec![word("inv.quota"), product(of), buyer.clone()],
        Request::Threshold(of, units) => {
            let units = match units {
                None => word("default"),
                Some(OFF) => word("off"),
                Some(units) => units.to_string(),
            };
            vec![word("inv.threshold"), product(of), units]
        }
        Request::Stock(products) => {
            [word("inv.stock")].into_iter().chain(products.iter().map(product)).collect()
        }
        Request::Alerts(query) => [
            vec![word("inv.alerts")],
            option("count", Some(query.count.to_string())),
            option("since", Some(query.since.to_string())),
            option("before", query.before.map(|before| before.to_string())),
            option("type", query.kind.map(|kind| kind.name().to_ascii_lowercase())),
            option("product", query.product.as_ref().map(product)),
        ]
        .concat(),
        Request::Scan(query) => {
            let from = query.from.map_or(word("0"), |(deadline, slot)| format!("{deadline}-{slot}"));
            [
                vec![word("inv.scan"), from],
                option("product", query.product.as_ref().map(product)),
                option("count", Some(query.count.to_string())),
                pattern(&query.pattern),
                flag("full", query.full),
            ]
            .concat()
        }
        Request::StockScan(query) => [
            vec![word("inv.stockscan"), query.cursor.spell()],
            option("count", Some(query.count.to_string())),
            pattern(&query.pattern),
            flag("low", query.low),
        ]
        .concat(),
        Request::AuditScan(cursor, count) => {
            [vec![word("inv.auditscan"), cursor.spell()], option("count", Some(count.to_string()))].concat()
        }
        Request::Get(of) => vec![word("inv.get"), id(of)],
        Request::Audit(of) => vec![word("inv.audit"), sku(of)],
        Request::Repair(of, force) => [vec![word("inv.repair"), sku(of)], flag("force", *force)].concat(),
    }
}
