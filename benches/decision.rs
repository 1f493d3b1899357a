//! Measures what a decision costs: the engine with its reads and writes, on the simulated keyspace. Use it to compare two
//! versions of the engine; the work of a server is not included.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use redis_inventory::engine::reserve::{ReserveRequest, reserve};
use redis_inventory::engine::resolve::{ResolveRequest, commit, rollback};
use redis_inventory::inventory::allocation::Split;
use redis_inventory::inventory::lifetime::Lifetime;
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::sku::{KeyStyle, ReservationId, Sku};
use simulation::Simulation;

#[path = "../tests/engine/simulation.rs"]
#[allow(dead_code, reason = "only the tests use all of it")]
mod simulation;

fn request(lines: usize) -> ReserveRequest {
    let line = |number: usize| Line {
        sku: Sku::parse(format!("PROD-{number}").as_bytes(), KeyStyle::Plain).unwrap(),
        quantity: Quantity::new(2).unwrap(),
    };
    ReserveRequest {
        id: ReservationId::parse(b"RES-456", KeyStyle::Plain).unwrap(),
        lifetime: Lifetime::Default,
        data: None,
        buyer: None,
        split: Split::default(),
        partial: false,
        items: (0..lines).map(line).collect(),
        once: None,
    }
}

/// A shop with the products for a request of `lines` lines.
fn shop(lines: usize) -> Simulation {
    let mut shop = Simulation::new();
    for number in 0..lines {
        shop.client(&["SET", &format!("stock:available:PROD-{number}"), "1000"]);
    }
    shop
}

/// The same shop after the reservation was made.
fn shop_that_holds(lines: usize) -> Simulation {
    let mut shop = shop(lines);
    shop.unit(|shop| reserve(shop, &request(lines))).unwrap();
    shop
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    for lines in [1, 5, 20] {
        let asked = request(lines);
        group.bench_function(BenchmarkId::new("reserve", lines), |bencher| {
            bencher.iter_batched(
                || shop(lines),
                |mut shop| {
                    black_box(shop.unit(|shop| reserve(shop, black_box(&asked)))).unwrap();
                    shop
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("reserve again", lines), |bencher| {
            let mut shop = shop_that_holds(lines);
            bencher.iter(|| shop.unit(|shop| reserve(shop, black_box(&asked))).unwrap());
        });
        let whole =
            ResolveRequest { id: asked.id.clone(), part: None, late: false, fence: false, once: None };
        group.bench_function(BenchmarkId::new("commit", lines), |bencher| {
            bencher.iter_batched(
                || shop_that_holds(lines),
                |mut shop| {
                    shop.unit(|shop| commit(shop, black_box(&whole))).unwrap();
                    shop
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("rollback", lines), |bencher| {
            bencher.iter_batched(
                || shop_that_holds(lines),
                |mut shop| {
                    shop.unit(|shop| rollback(shop, black_box(&whole))).unwrap();
                    shop
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
