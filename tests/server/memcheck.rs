//! Repeats every command, every refusal, and the module's other code. `make memcheck` runs this under valgrind to find invalid
//! accesses and leaks.
//!
//! `INV_MEMCHECK_OPS` (50) is the minimum number of successful calls of each command, and of refused ones: each line is sent a
//! tenth of that, and each command has ten lines of either kind. A line that is refused for another reason than it states fails.
//! The servers' statistics are written to the folder in `INV_MEMCHECK_CALLS`.
use crate::bad_input::SLIPS;
use crate::harness::{Client, Json, LATER, Server, module, wait_for, wait_until, wire_code};
use crate::shards::Cluster;
use crate::shop::let_the_sweep_pass;

/// The expected reply and the command. The reply is an error code, `ok` for anything but an error, or `any`. `#` is the number of
/// the repetition; [`words`] replaces what is in `<…>`.
type Line = (&'static str, &'static str);

/// Commands that are sent without a pause. Between two steps, deadlines of a millisecond pass.
type Step = &'static [Line];

/// Commands in one write: enough to keep the server busy, but few enough that the replies arrive soon.
const AT_ONCE: usize = 2000;

/// The number of lines of either kind for each command.
const LINES: usize = 10;

/// How often a line is sent.
fn times() -> usize {
    let operations = std::env::var("INV_MEMCHECK_OPS").unwrap_or_else(|_| "50".to_owned());
    operations.parse::<usize>().expect("INV_MEMCHECK_OPS is a number").div_ceil(LINES)
}

/// Prepares an empty server for the other lines.
const STOCK: Step = &[
    ("ok", "MSET stock:available:P 9000000000 stock:available:Q 9000000000 stock:available:D 9000000000"),
    ("ok", "INV.WAREHOUSES W SET A 1 B 2 C 3"),
    ("ok", "INV.ADJUST W@A 4000000000"),
    ("ok", "INV.ADJUST W@B 4000000000"),
    ("ok", "INV.ADJUST W@C 4000000000"),
    // R1 is for the invalid commands of tests/server/bad_input.rs.
    ("ok", "INV.RESERVE R1 EX 900000 ITEMS P 5"),
    // Skus with drift, for INV.AUDITSCAN.
    ("ok", "SELECT 9"),
    ("ok", "MSET stock:reserved:P 3 stock:reserved:Q 2 stock:reserved:R -1 stock:available:S 1"),
    ("ok", "INV.RESERVE R1 EX 900000 ITEMS S 1"),
    ("ok", "DEL stock:reserved:S"),
    ("ok", "SELECT 0"),
];

/// The life of a reservation, whole and in parts, with each refusal.
const RESERVATIONS: &[Step] = &[
    &[
        ("ok", "INV.RESERVE a# EX 900 ITEMS P 4 Q 1"),
        ("ok", "INV.RESERVE a# EX 900 ITEMS P 4 Q 1"),
        ("MISMATCH", "INV.RESERVE a# ITEMS P 3"),
        ("ok", "INV.GET a#"),
        ("ok", "INV.EXTEND a# EX 1000"),
        ("ERR", "INV.EXTEND a# PXAT 1"),
        ("ok", "INV.COMMIT a# ITEMS P 1"),
        ("ok", "INV.ROLLBACK a# ITEMS Q 1"),
        ("ERR", "INV.COMMIT a# ITEMS P 5"),
        ("ERR", "INV.ROLLBACK a# ITEMS Z 1"),
        ("ERR", "INV.COMMIT a# LATE ITEMS P 1"),
        ("ok", "INV.COMMIT a#"),
        ("ok", "INV.COMMIT a#"),
        ("COMMITTED", "INV.ROLLBACK a#"),
        ("COMMITTED", "INV.EXTEND a# EX 5"),
        ("COMMITTED", "INV.RESERVE a# ITEMS P 4 Q 1"),
        ("ok", "INV.GET a#"),
        ("ok", "INV.RESERVE b# PX 900000 DATA cart-# SPLIT none ONCE t ITEMS P 3"),
        ("ok", "INV.RESERVE b# PX 900000 DATA cart-# SPLIT none ONCE t ITEMS P 3"),
        ("MISMATCH", "INV.RESERVE b# ONCE t ITEMS P 2"),
        ("ok", "INV.GET b#"),
        ("ok", "INV.EXTEND b# PX 800000 ONCE e"),
        ("ok", "INV.EXTEND b# PX 800000 ONCE e"),
        ("MISMATCH", "INV.EXTEND b# PX 800001 ONCE e"),
        ("ok", "INV.COMMIT b# ONCE c ITEMS P 1"),
        ("ok", "INV.COMMIT b# ONCE c ITEMS P 1"),
        ("MISMATCH", "INV.COMMIT b# ONCE c ITEMS P 2"),
        ("ok", "INV.ROLLBACK b# ONCE r ITEMS P 1"),
        ("ok", "INV.ROLLBACK b# ONCE r ITEMS P 1"),
        ("MISMATCH", "INV.ROLLBACK b# ONCE r"),
        ("ok", "INV.ROLLBACK b#"),
        ("ok", "INV.ROLLBACK b#"),
        ("ROLLEDBACK", "INV.COMMIT b#"),
        ("ROLLEDBACK", "INV.COMMIT b# LATE"),
        ("ROLLEDBACK", "INV.EXTEND b# EX 5"),
        ("ROLLEDBACK", "INV.RESERVE b# ITEMS P 3"),
        ("ok", "INV.RESERVE k# PARTIAL ONCE t ITEMS P 3 NONE# 1"),
        ("ok", "INV.RESERVE k# PARTIAL ONCE t ITEMS P 3 NONE# 1"),
        ("MISMATCH", "INV.RESERVE k# ITEMS P 3 NONE# 1"),
        ("ok", "INV.REPLACE k# k# DATA cart-# ITEMS P 2 Q 1"),
        ("ok", "INV.REPLACE k# k# DATA cart-# ITEMS P 2 Q 1"),
        ("INSUFFICIENT", "INV.REPLACE k# l# ITEMS NONE# 1"),
        ("ok", "INV.REPLACE k# l# PX 900000 ONCE u ITEMS W 3 P 1"),
        ("ok", "INV.REPLACE k# l# PX 900000 ONCE u ITEMS W 3 P 1"),
        ("ok", "INV.RESERVE m# ITEMS P 1"),
        ("ok", "INV.REPLACE l# m# SPLIT none PARTIAL ITEMS W 4 P 1"),
        ("REPLACED", "INV.COMMIT k#"),
        ("REPLACED", "INV.ROLLBACK l#"),
        ("REPLACED", "INV.REPLACE k# m# ITEMS P 1"),
        ("ok", "INV.GET k#"),
        ("ok", "INV.REPLACE nobody# n# ITEMS P 1"),
        ("ok", "INV.ROLLBACK n#"),
        ("ok", "INV.ROLLBACK m#"),
        ("NOTFOUND", "INV.COMMIT none#"),
        ("NOTFOUND", "INV.COMMIT none# LATE"),
        ("NOTFOUND", "INV.ROLLBACK none#"),
        ("NOTFOUND", "INV.EXTEND none# EX 5"),
        ("ok", "INV.GET none#"),
        ("ok", "INV.RESERVE c# ITEMS W 4000000001 P 1"),
        ("ok", "INV.COMMIT c# ITEMS W 1"),
        ("ok", "INV.ROLLBACK c#"),
        ("ok", "INV.RESERVE d# SPLIT fewest ITEMS W 110 W@B 3"),
        ("ok", "INV.ROLLBACK d# ITEMS W 5 W@B 1"),
        ("ok", "INV.ADJUST W@A 1"),
        ("ok", "INV.COMMIT d# ONCE whole"),
        ("ok", "INV.MRESERVE EX 900 4 aa# 1 P 1 bb# 2 P 1 Q 1 aa# 1 P 1 cc# 2 W@A 1 NOPE 1"),
        ("ok", "INV.MRESERVE PX 900000 2 aa# 1 P 1 cc# 1 W 2"),
        ("ok", "INV.MRESERVE 1 dd# 3 P 1 Q 2 P 1"),
        ("ok", "INV.MRESERVE 2 dd# 2 Q 2 P 2 dd# 1 P 1"),
        ("ok", "INV.MRESERVE 3 ee# 1 LIST 1 ff# 1 X 1 gg# 1 P 1"),
        ("ok", "INV.MRESERVE EX 900 1 hh# 1 W 4000000001"),
        ("ERR", "INV.MRESERVE EX 900 2 aa# 1 P 1"),
        ("ERR", "INV.MRESERVE 1 * 1 P 1"),
        ("ERR", "INV.MRESERVE 1 ii# 2 P 1"),
        ("ERR", "INV.MRESERVE 1 ii# 0"),
        ("ERR", "INV.MRESERVE 0"),
        ("ERR", "INV.MRESERVE 1 ii# 1 P 0"),
        ("ERR", "INV.MRESERVE 1 ii# 1 <bytes> 1"),
        ("ERR", "INV.MRESERVE 1 <huge> 1 P 1"),
        ("ERR", "INV.MRESERVE 1 ii# 1 <nul> 1"),
        ("ERR", "INV.MRESERVE EX 900 EX 900 1 ii# 1 P 1"),
        ("ok", "INV.MCOMMIT aa# aa# none#"),
        ("ok", "INV.MCOMMIT aa#"),
        ("ok", "INV.MCOMMIT cc# dd#"),
        ("ok", "INV.MCOMMIT none#"),
        ("ok", "INV.MCOMMIT HEAP LIST a# b#"),
        ("ok", "INV.MCOMMIT k# l#"),
        ("ok", "INV.MROLLBACK bb# aa# none#"),
        ("ok", "INV.MROLLBACK bb# bb#"),
        ("ok", "INV.MROLLBACK gg#"),
        ("ok", "INV.MROLLBACK none#"),
        ("ok", "INV.MROLLBACK HEAP LIST a# b#"),
        ("ok", "INV.MROLLBACK k# l#"),
        ("ok", "INV.MRESERVE 2 jj# 1 P 1 kk# 1 Q 1"),
        ("ok", "INV.MRESERVE PXAT 9007199254740 1 ll# 1 P 1"),
        ("ok", "INV.MRESERVE 1 jj# 1 P 2"),
        ("ok", "INV.MRESERVE 1 a# 1 P 1"),
        ("ok", "INV.MCOMMIT jj# ll#"),
        ("ok", "INV.MCOMMIT kk# kk# kk#"),
        ("ok", "INV.MCOMMIT bb# gg#"),
        ("ok", "INV.MCOMMIT hh#"),
        ("ok", "INV.MROLLBACK jj# kk#"),
        ("ok", "INV.MROLLBACK ll#"),
        ("ok", "INV.MROLLBACK cc# dd#"),
        ("ok", "INV.MROLLBACK hh# ee# ff#"),
        ("ok", "INV.REPLACE oo# oo# ITEMS P 1"),
        ("ok", "INV.REPLACE oo# oo# ITEMS P 2 W 1"),
        ("ok", "INV.REPLACE oo# pp# PARTIAL SPLIT fewest ITEMS W 5 P 1"),
        ("ok", "INV.REPLACE pp# pp# EX 900 ITEMS Q 1"),
        ("ok", "INV.ROLLBACK pp#"),
        ("ERR", "INV.MCOMMIT <bytes>"),
        ("ERR", "INV.MCOMMIT <huge>"),
        ("ERR", "INV.MCOMMIT <nul>"),
        ("ERR", "INV.MCOMMIT <data>"),
        ("ERR", "INV.MCOMMIT a# <bytes>"),
        ("ERR", "INV.MCOMMIT a# <huge>"),
        ("ERR", "INV.MCOMMIT a# <nul>"),
        ("ERR", "INV.MCOMMIT a# b# <data>"),
        ("ERR", "INV.MCOMMIT <huge> a#"),
        ("ERR", "INV.MCOMMIT <bytes> a#"),
        ("ERR", "INV.MROLLBACK <bytes>"),
        ("ERR", "INV.MROLLBACK <huge>"),
        ("ERR", "INV.MROLLBACK <nul>"),
        ("ERR", "INV.MROLLBACK <data>"),
        ("ERR", "INV.MROLLBACK a# <bytes>"),
        ("ERR", "INV.MROLLBACK a# <huge>"),
        ("ERR", "INV.MROLLBACK a# <nul>"),
        ("ERR", "INV.MROLLBACK a# b# <data>"),
        ("ERR", "INV.MROLLBACK <huge> a#"),
        ("ERR", "INV.MROLLBACK <bytes> a#"),
        ("ok", "INV.SET W@A AVAILABLE 4000000000"),
        ("ok", "INV.SET W@B AVAILABLE 4000000000"),
        ("INSUFFICIENT", "INV.RESERVE s# ITEMS P 9007199254740991 NOPE 1"),
        ("INSUFFICIENT", "INV.RESERVE s# SPLIT none ITEMS W 4000000001"),
        ("INSUFFICIENT", "INV.RESERVE s# SPLIT fewest ITEMS W 90000000000"),
        ("INSUFFICIENT", "INV.RESERVE s# ITEMS W@A 4000000001 W@B 4000000001"),
        ("ERR", "INV.RESERVE s# ITEMS W@A 1 W@N 1"),
        ("ok", "INV.RESERVE e# ITEMS D 1"),
        ("ok", "SET stock:reserved:D 0"),
        ("DRIFT", "INV.COMMIT e#"),
        ("DRIFT", "INV.ROLLBACK e#"),
        ("DRIFT", "INV.COMMIT e# ITEMS D 1"),
        ("ok", "SET stock:reserved:D 1"),
        ("ok", "SET stock:available:D 9223372036854775807"),
        ("ERR", "INV.ROLLBACK e#"),
        ("ok", "SET stock:available:D 9000000000"),
        ("ok", "INV.ROLLBACK e#"),
        ("ok", "SET stock:reserved:D 9223372036854775807"),
        ("ERR", "INV.RESERVE f# ITEMS D 1"),
        ("ok", "SET stock:reserved:D 0"),
        ("ERR", "INV.APPLY 1 0 UNITS P 1 -1"),
        ("ok", "INV.RESERVE f#* PX 1 ITEMS P 1"),
        ("ok", "INV.RESERVE g# PX 1 ITEMS P 1"),
        ("ok", "INV.RESERVE h# PX 1 DATA x ITEMS P 1 Q 1"),
        ("ok", "SET stock:available:L# 1"),
        ("ok", "INV.RESERVE i# PX 1 ITEMS L# 1"),
    ],
    &[
        ("EXPIRED", "INV.COMMIT g#"),
        ("EXPIRED", "INV.EXTEND g# EX 5"),
        ("EXPIRED", "INV.RESERVE g# ITEMS P 1"),
        ("ok", "INV.GET g#"),
        ("ok", "INV.ROLLBACK g#"),
        ("ROLLEDBACK", "INV.COMMIT g#"),
        ("ok", "INV.COMMIT h# LATE"),
        ("ok", "INV.RESERVE j# ITEMS L# 1"),
        ("INSUFFICIENT", "INV.COMMIT i# LATE"),
        ("ok", "INV.ROLLBACK j#"),
        ("ok", "DEL stock:available:L# stock:reserved:L#"),
    ],
];

/// Stock changes and the commands that read stock.
const RESTOCKING: &[Step] = &[&[
    ("ok", "INV.ADJUST P 5"),
    ("ok", "INV.ADJUST P -5 ONCE a#"),
    ("ok", "INV.ADJUST P -5 ONCE a#"),
    ("MISMATCH", "INV.ADJUST P -6 ONCE a#"),
    ("INSUFFICIENT", "INV.ADJUST P -9007199254740991"),
    ("ERR", "INV.ADJUST P 9007199254740991"),
    ("ERR", "INV.ADJUST W 1"),
    ("ERR", "INV.ADJUST W@N 1"),
    ("ok", "INV.SET P ONHAND 9000000000"),
    ("ok", "INV.SET P AVAILABLE 9000000000 ONCE s#"),
    ("ok", "INV.SET P AVAILABLE 9000000000 ONCE s#"),
    ("MISMATCH", "INV.SET P AVAILABLE 9000000001 ONCE s#"),
    ("ok", "INV.SET P AVAILABLE 5 IFEQ 1"),
    ("OVERCOMMITTED", "INV.SET P ONHAND 4"),
    ("ERR", "INV.SET W AVAILABLE 4"),
    ("ok", "SET stock:available:FAR -9223372036854775808"),
    ("OVERCOMMITTED", "INV.SET FAR AVAILABLE 9007199254740991"),
    ("ERR", "INV.SET FAR AVAILABLE 9007199254740991 FORCE"),
    ("ok", "INV.SET new# AVAILABLE 20"),
    ("ok", "INV.SET AL AVAILABLE 20"),
    ("ok", "INV.ADJUST AL -15"),
    ("ok", "INV.ADJUST AL -5"),
    ("ok", "INV.ALERTS PRODUCT AL COUNT 3"),
    ("ok", "INV.ALERTS TYPE LOW_STOCK SINCE 5 COUNT 2"),
    ("ok", "INV.ALERTS TYPE OUT_OF_STOCK COUNT 1"),
    ("ok", "INV.THRESHOLD P 7"),
    ("ok", "INV.THRESHOLD P 7"),
    ("ok", "INV.THRESHOLD P OFF"),
    ("ok", "INV.FLOOR P -5"),
    ("ok", "INV.FLOOR P -5"),
    ("ok", "INV.ADJUST P -1 FORCE"),
    ("ok", "INV.FLOOR P 0"),
    ("ok", "INV.FLOOR new# -3"),
    ("ok", "INV.FLOOR new# 3"),
    ("ok", "INV.FLOOR new# 0"),
    ("ok", "INV.SET LIM AVAILABLE 20"),
    ("ok", "INV.LIMIT LIM 2"),
    ("ok", "INV.LIMIT LIM 2"),
    ("ok", "INV.LIMIT LIM 3"),
    ("ERR", "INV.RESERVE limited# ITEMS LIM 1"),
    ("LIMIT", "INV.RESERVE limited# BUYER ann# ITEMS LIM 4"),
    ("ok", "INV.RESERVE limited# PX 60000 PARTIAL BUYER ann# ITEMS LIM 4"),
    ("ok", "INV.QUOTA LIM ann#"),
    ("ok", "INV.REPLACE limited# limited# ITEMS LIM 2"),
    ("ok", "INV.COMMIT limited# ITEMS LIM 1"),
    ("ok", "INV.QUOTA LIM ann#"),
    ("ok", "INV.ROLLBACK limited#"),
    ("ok", "INV.AUDIT LIM@@ann#"),
    ("ok", "INV.REPAIR LIM@@ann#"),
    ("ERR", "INV.ADJUST LIM@@ann# 2"),
    ("ok", "INV.ADJUST LIM@@ann# 1"),
    ("ok", "INV.QUOTA LIM ann#"),
    ("ok", "INV.QUOTA LIM nobody"),
    ("ok", "INV.QUOTA nothing# ann"),
    ("ok", "INV.LIMIT LIM OFF"),
    ("ok", "INV.LIMIT LIM OFF"),
    ("ok", "INV.LIMIT lim# 5"),
    ("ok", "INV.LIMIT lim# 6"),
    ("ok", "INV.QUOTA lim# ann"),
    ("ok", "INV.QUOTA lim# bob#"),
    ("ok", "INV.LIMIT lim# OFF"),
    ("ok", "INV.QUOTA lim# ann"),
    ("ok", "INV.QUOTA P @@x"),
    ("ok", "INV.QUOTA W ann"),
    ("ok", "INV.LIMIT W 5"),
    ("ok", "INV.LIMIT W OFF"),
    ("ok", "INV.FLOOR only# -3"),
    ("ok", "INV.RESERVE only# PX 5 ITEMS only# 3"),
    ("ok", "INV.FLOOR only# 0"),
    ("ok", "INV.FLOOR W@A 3"),
    ("ok", "INV.FLOOR W@A 0"),
    ("ERR", "INV.FLOOR W 3"),
    ("ok", "INV.WAREHOUSES CL# SET A CLOSED B 1"),
    ("ok", "INV.STOCK CL#"),
    ("ok", "INV.WAREHOUSES CL# DEL A"),
    ("ok", "INV.WAREHOUSES CL# DEL B"),
    ("ok", "INV.THRESHOLD P DEFAULT"),
    ("ok", "INV.THRESHOLD new# 3"),
    ("ok", "INV.STOCK P Q nothing# new#"),
    ("ok", "INV.STOCK W"),
    ("ok", "INV.STOCK AL"),
    ("ok", "INV.TRANSFER W A B 5"),
    ("ok", "INV.TRANSFER W B A 5 ONCE t#"),
    ("ok", "INV.TRANSFER W B A 5 ONCE t#"),
    ("MISMATCH", "INV.TRANSFER W B A 6 ONCE t#"),
    ("INSUFFICIENT", "INV.TRANSFER W A B 9007199254740991"),
    ("ERR", "INV.TRANSFER W A N 5"),
    ("ERR", "INV.TRANSFER W A A 5"),
    ("ok", "SET stock:available:W@C 9007199254740990"),
    ("ERR", "INV.TRANSFER W A C 5"),
    ("ok", "SET stock:available:W@C 4000000000"),
    ("ok", "INV.WAREHOUSES w# SET A 1 B -2"),
    ("ok", "INV.WAREHOUSES w# SET A 1 B 7"),
    ("ok", "INV.STOCK w#"),
    ("ok", "INV.ADJUST w#@A 1"),
    ("ERR", "INV.WAREHOUSES w# DEL A"),
    ("ok", "INV.ADJUST w#@A -1"),
    ("ok", "INV.WAREHOUSES w# DEL A"),
    ("ERR", "INV.WAREHOUSES w# DEL A"),
    ("ok", "INV.WAREHOUSES w# SET C 3"),
    ("ok", "INV.WAREHOUSES w# DEL C"),
    ("ok", "INV.WAREHOUSES w# DEL B"),
    ("ok", "INV.STOCK w#"),
    ("ERR", "INV.WAREHOUSES P SET A 1"),
    ("ok", "INV.AUDIT P"),
    ("ok", "INV.AUDIT W@A"),
    ("ok", "INV.AUDIT nothing#"),
    ("ok", "INV.REPAIR P"),
    ("ok", "INCRBY stock:reserved:P 3"),
    ("ok", "INV.AUDIT P"),
    ("ok", "INV.REPAIR P FORCE"),
    ("ok", "DECRBY stock:reserved:P 3"),
    ("ok", "INV.REPAIR P FORCE"),
    ("ok", "INV.SCAN 0 COUNT 5"),
    ("ok", "INV.SCAN 1-1 COUNT 5 PRODUCT P"),
    ("ok", "INV.RESERVE c# EX 900 ITEMS Q 1 new# 1"),
    ("ok", "INV.EXTEND c# EX 901"),
    ("ok", "INV.EXTEND c# PX 800000"),
    ("ok", "INV.EXTEND c# EXAT 4102444800"),
    ("ok", "INV.EXTEND c# PXAT 4102444800001"),
    ("ok", "INV.EXTEND c# EX 60 ONCE x"),
    ("ok", "INV.EXTEND c# EX 60 ONCE x"),
    ("ok", "INV.EXTEND c# EX 1000"),
    ("ok", "INV.GET c#"),
    ("ok", "INV.GET R1"),
    ("ok", "INV.GET nobody#"),
    ("ok", "INV.SCAN 0 PRODUCT new#"),
    ("ok", "INV.SCAN 0 PRODUCT nothing# COUNT 1"),
    ("ok", "INV.SCAN 4102444800001-0 COUNT 5"),
    ("ok", "INV.SCAN 1-0 COUNT 1"),
    ("ok", "INV.SCAN 1-0 PRODUCT P"),
    ("ok", "INV.SCAN 0 COUNT 1000"),
    ("ok", "INV.AUDIT new#"),
    ("ok", "INV.AUDIT Q"),
    ("ok", "INV.AUDIT W@C"),
    ("ok", "INV.AUDIT AL"),
    ("ERR", "INV.AUDIT W"),
    ("ok", "INV.AUDIT W@N"),
    ("ok", "INV.AUDIT W@B"),
    ("ok", "INV.REPAIR Q"),
    ("ok", "INV.REPAIR W@A"),
    ("ok", "INV.REPAIR nothing#"),
    ("ok", "DECRBY stock:reserved:new# 1"),
    ("ok", "INV.REPAIR new#"),
    ("ok", "INV.REPAIR AL FORCE"),
    ("ok", "INV.REPAIR Q FORCE"),
    ("ok", "INV.ROLLBACK c#"),
    ("ok", "INV.ALERTS"),
    ("ok", "INV.ALERTS COUNT 1"),
    ("ok", "INV.ALERTS TYPE BACK_IN_STOCK"),
    ("ok", "INV.ALERTS PRODUCT nothing#"),
    ("ok", "INV.ALERTS SINCE 4102444800000"),
    ("ok", "INV.ALERTS BEFORE 4102444800000 SINCE 5 COUNT 2"),
    ("ok", "INV.ALERTS PRODUCT AL TYPE LOW_STOCK SINCE 5 COUNT 2"),
    ("ok", "INV.ADJUST new# 3"),
    ("ok", "INV.ADJUST new# -3 ONCE y"),
    ("ok", "INV.SET new# ONHAND 7 IFEQ 20"),
    ("ok", "INV.SET new#@x AVAILABLE 7"),
    ("ok", "INV.STOCK new#"),
    ("ok", "INV.STOCK nothing#"),
    ("ok", "INV.STOCK P P P"),
    ("ok", "INV.STOCK W P"),
    ("ok", "INV.THRESHOLD nothing# 5"),
    ("ok", "INV.THRESHOLD nothing# DEFAULT"),
    ("ok", "INV.THRESHOLD nothing# DEFAULT"),
    ("ok", "INV.THRESHOLD AL 0"),
    ("ok", "INV.THRESHOLD AL 10"),
    ("ok", "INV.THRESHOLD W 8000000000"),
    ("ok", "INV.THRESHOLD W DEFAULT"),
    ("ok", "INV.TRANSFER W A B 1"),
    ("ok", "INV.TRANSFER W B C 1"),
    ("ok", "INV.TRANSFER W C A 1"),
    ("ok", "INV.TRANSFER W A B 4000000000"),
    ("ok", "INV.TRANSFER W B A 4000000000"),
    ("ok", "INV.TRANSFER W A C 1 ONCE u#"),
    ("MISMATCH", "INV.TRANSFER W C A 1 ONCE u#"),
    ("ok", "INV.TRANSFER W C A 1"),
    ("ok", "INV.WAREHOUSES v# SET C 3 D 4 E 5"),
    ("ERR", "INV.WAREHOUSES v# DEL N"),
    ("ok", "INV.WAREHOUSES v# DEL C"),
    ("ok", "INV.WAREHOUSES v# DEL D"),
    ("ok", "INV.WAREHOUSES v# DEL E"),
    // It walks over every key of a database, so use one without the outcomes of earlier repetitions.
    ("ok", "SELECT 9"),
    ("ok", "INV.AUDITSCAN 0"),
    ("ok", "INV.AUDITSCAN h0 COUNT 1"),
    ("ok", "INV.AUDITSCAN 0 COUNT 5"),
    ("ok", "INV.AUDITSCAN 0 COUNT 1"),
    ("ok", "INV.AUDITSCAN c0 COUNT 2"),
    ("ok", "INV.AUDITSCAN h1"),
    ("ok", "INV.AUDITSCAN h4000000"),
    ("ok", "INV.AUDITSCAN c0"),
    ("ok", "INV.AUDITSCAN h2 COUNT 3"),
    ("ok", "INV.STOCKSCAN 0"),
    ("ok", "INV.STOCKSCAN 0 COUNT 1"),
    ("ok", "INV.STOCKSCAN 0 LOW"),
    ("ok", "INV.STOCKSCAN 0 MATCH [a-z]*# COUNT 5"),
    ("ok", "INV.STOCKSCAN c0 LOW MATCH *"),
    ("ok", "INV.STOCKSCAN c7"),
    ("ok", "INV.STOCKSCAN w0"),
    ("ok", "INV.STOCKSCAN w7 COUNT 1000"),
    ("ok", "INV.STOCKSCAN w0 MATCH \\"),
    ("ok", "INV.STOCKSCAN 0 MATCH [^"),
    ("ok", "SELECT 0"),
    ("ok", "INV.SCAN 0 COUNT 3 FULL"),
    ("ok", "INV.SCAN 0 MATCH *# COUNT 3"),
    ("ok", "INV.ROLLBACK fence# FENCE"),
    ("ok", "INV.ROLLBACK fence# FENCE ONCE u#"),
    ("ok", "DEL stock:available:new# stock:threshold:new# stock:reserved:new# stock:available:new#@x"),
]];

/// Values of other programs in the places of the module's keys.
const SPOILT: Step = &[
    ("ok", "RPUSH stock:available:LIST 1"),
    ("ok", "SET stock:available:WORD abc"),
    ("ok", "HSET stock:reserved:R f 1"),
    ("ok", "SET stock:warehouses:X text"),
    ("ok", "RPUSH stock:threshold:LIST 1"),
    ("ok", "SET stock:available:FLOORED 5"),
    ("ok", "SET stock:floor:FLOORED 1.5"),
    ("ok", "RPUSH inventory:outcome:LIST 1"),
    ("ok", "SET inventory:outcome:WORD abc"),
    ("ok", "SET reservation:TEXT abc"),
    ("ok", "RPUSH reservation:HEAP abc"),
    ("ok", "ZADD stock:warehouses:ODD 1 A@B 2 {C 3 <bytes> 4 A"),
    ("ok", "INV.RESERVE HELD EX 900000 ITEMS Q 5"),
];

/// Every refusal because of stored values, and invalid arguments.
const REFUSALS: &[Step] = &[&[
    ("WRONGTYPE", "INV.RESERVE r# ITEMS LIST 1"),
    ("WRONGTYPE", "INV.RESERVE r# ITEMS WORD 1"),
    ("WRONGTYPE", "INV.RESERVE r# ITEMS FLOORED 1"),
    ("WRONGTYPE", "INV.FLOOR FLOORED 0"),
    ("WRONGTYPE", "INV.RESERVE r# ITEMS R 1"),
    ("WRONGTYPE", "INV.RESERVE r# ITEMS X 1"),
    ("WRONGTYPE", "INV.ADJUST LIST 1"),
    ("WRONGTYPE", "INV.ADJUST X 1"),
    ("WRONGTYPE", "INV.SET WORD AVAILABLE 1"),
    ("WRONGTYPE", "INV.SET R ONHAND 1"),
    ("ok", "INV.STOCK P LIST"),
    ("ok", "INV.STOCK P X"),
    ("WRONGTYPE", "INV.AUDIT R"),
    ("WRONGTYPE", "INV.REPAIR R"),
    ("WRONGTYPE", "INV.THRESHOLD LIST 1"),
    ("WRONGTYPE", "INV.WAREHOUSES X SET A 1"),
    ("WRONGTYPE", "INV.WAREHOUSES X DEL A"),
    ("WRONGTYPE", "INV.WAREHOUSES LIST SET A 1"),
    ("WRONGTYPE", "INV.TRANSFER X A B 1"),
    ("WRONGTYPE", "INV.RESERVE LIST# ONCE o ITEMS LIST 1"),
    ("WRONGTYPE", "INV.RESERVE LIST ITEMS P 1"),
    ("FOREIGN", "INV.RESERVE HEAP ITEMS P 1"),
    ("WRONGTYPE", "INV.COMMIT WORD"),
    ("WRONGTYPE", "INV.ROLLBACK WORD"),
    ("WRONGTYPE", "INV.GET WORD"),
    ("WRONGTYPE", "INV.RESERVE WORD ITEMS P 1"),
    ("FOREIGN", "INV.RESERVE TEXT ITEMS P 1"),
    ("FOREIGN", "INV.COMMIT TEXT"),
    ("FOREIGN", "INV.ROLLBACK TEXT"),
    ("FOREIGN", "INV.EXTEND TEXT EX 5"),
    ("FOREIGN", "INV.GET TEXT"),
    ("ok", "INCRBY stock:reserved:P 1"),
    ("FOREIGN", "INV.REPAIR P"),
    ("ok", "INV.REPAIR P FORCE"),
    ("ok", "INV.STOCK ODD"),
    ("ERR", "INV.RESERVE <long> ITEMS P 1"),
    ("ERR", "INV.RESERVE <huge> ITEMS P 1"),
    ("ERR", "INV.RESERVE <long>* ITEMS P 1"),
    ("ERR", "INV.RESERVE r# ITEMS <long> 1"),
    ("ERR", "INV.RESERVE r# ONCE <long> ITEMS P 1"),
    ("ERR", "INV.RESERVE r# DATA <data> ITEMS P 1"),
    ("ERR", "INV.RESERVE r# ITEMS <items>"),
    ("ERR", "INV.RESERVE r# EX 60 NX ITEMS P <nul>"),
    ("ERR", "INV.RESERVE <bytes> ITEMS P 1"),
    ("ERR", "INV.RESERVE r# DATA ITEMS ITEMS P 1"),
    ("ERR", "INV.COMMIT <long>"),
    ("ERR", "INV.COMMIT R1 ITEMS <items>"),
    ("ERR", "INV.COMMIT R1 ONCE <nul>"),
    ("ERR", "INV.COMMIT <bytes>"),
    ("ERR", "INV.ROLLBACK <long>"),
    ("ERR", "INV.ROLLBACK R1 ITEMS <items>"),
    ("ERR", "INV.ROLLBACK R1 LATE"),
    ("ERR", "INV.ROLLBACK <nul>"),
    ("ERR", "INV.EXTEND <long> EX 5"),
    ("ERR", "INV.EXTEND R1 EX <bytes>"),
    ("ERR", "INV.GET <long>"),
    ("ERR", "INV.GET <nul>"),
    ("ERR", "INV.ADJUST <long> 1"),
    ("ERR", "INV.ADJUST P <nul>"),
    ("ERR", "INV.SET <long> AVAILABLE 1"),
    ("ERR", "INV.SET P AVAILABLE 1 IFEQ"),
    ("ERR", "INV.SET <bytes> AVAILABLE 1"),
    ("ERR", "INV.STOCK <long>"),
    ("ERR", "INV.STOCK P <bytes>"),
    ("ERR", "INV.THRESHOLD <long> 1"),
    ("ERR", "INV.LIMIT P@A 1"),
    ("ERR", "INV.LIMIT P@@ann 1"),
    ("ERR", "INV.LIMIT P 1.5"),
    ("ERR", "INV.LIMIT P 9007199254740992"),
    ("ERR", "INV.QUOTA P@A ann"),
    ("ERR", "INV.QUOTA P@@ann ann"),
    ("ERR", "INV.QUOTA P <bytes>"),
    ("ERR", "INV.QUOTA P ann more"),
    ("ERR", "INV.QUOTA <nul> ann"),
    ("ERR", "INV.LIMIT <long> 1"),
    ("ERR", "INV.LIMIT <nul> 1"),
    ("ERR", "INV.LIMIT <bytes> 1"),
    ("ERR", "INV.QUOTA <long> ann"),
    ("ERR", "INV.QUOTA P <long>"),
    ("ERR", "INV.QUOTA P <nul>"),
    ("ERR", "INV.QUOTA <bytes> ann"),
    ("ERR", "INV.QUOTA P"),
    ("ERR", "INV.ADJUST P@@<long> 1"),
    ("ERR", "INV.FLOOR <long> 1"),
    ("ERR", "INV.FLOOR P 9007199254740992"),
    ("ERR", "INV.FLOOR <nul> 1"),
    ("ERR", "INV.THRESHOLD P 9007199254740992"),
    ("ERR", "INV.THRESHOLD <nul> 1"),
    ("ERR", "INV.WAREHOUSES <long> SET A 1"),
    ("ERR", "INV.WAREHOUSES W SET <long> 1"),
    ("ERR", "INV.WAREHOUSES W DEL <nul>"),
    ("ERR", "INV.TRANSFER <long> A B 1"),
    ("ERR", "INV.TRANSFER W <long> B 1"),
    ("ERR", "INV.TRANSFER W A <bytes> 1"),
    ("ERR", "INV.ALERTS PRODUCT <long>"),
    ("ERR", "INV.ALERTS PRODUCT"),
    ("ERR", "INV.ALERTS TYPE <nul>"),
    ("ERR", "INV.AUDIT <long>"),
    ("ERR", "INV.AUDIT P@"),
    ("ERR", "INV.AUDIT <bytes>"),
    ("ERR", "INV.AUDITSCAN x"),
    ("ERR", "INV.AUDITSCAN <bytes>"),
    ("ERR", "INV.AUDITSCAN 0 COUNT 0"),
    ("ERR", "INV.AUDITSCAN 0 LIMIT 5"),
    ("ERR", "INV.STOCKSCAN"),
    ("ERR", "INV.STOCKSCAN x"),
    ("ERR", "INV.STOCKSCAN w"),
    ("ERR", "INV.STOCKSCAN <bytes>"),
    ("ERR", "INV.STOCKSCAN 0 COUNT 0"),
    ("ERR", "INV.STOCKSCAN 0 HIGH"),
    ("ERR", "INV.STOCKSCAN 0 LOW LOW"),
    ("ERR", "INV.STOCKSCAN 0 MATCH"),
    ("ERR", "INV.STOCKSCAN 0 MATCH <nul>"),
    ("ERR", "INV.STOCKSCAN 0 MATCH <data>"),
    ("ERR", "INV.SCAN 0 FULL MATCH <bytes>"),
    ("ERR", "INV.ROLLBACK x FENCE ITEMS P 1"),
    ("ERR", "INV.ADJUST P 1 NOTE x"),
    ("ERR", "INV.REPAIR <long>"),
    ("ERR", "INV.REPAIR P NOW"),
    ("ERR", "INV.REPAIR P FORCE FORCE"),
    ("ERR", "INV.SCAN x"),
    ("ERR", "INV.SCAN 0 PRODUCT <long>"),
    ("ERR", "INV.SCAN 0 COUNT 5 COUNT 5"),
    ("ERR", "INV.SCAN 0 LIMIT <nul>"),
    ("ERR", "INV.SCAN 0 COUNT 0"),
    ("ERR", "INV.SCAN 0 PRODUCT"),
    ("ERR", "INV.SCAN 1-x"),
    ("ERR", "INV.SCAN 0 COUNT 1.5"),
    ("ERR", "INV.SCAN <bytes>"),
    ("ERR", "INV.SCAN 0 PRODUCT P@A"),
    ("ERR", "INV.GET <huge>"),
    ("ERR", "INV.GET <data>"),
    ("ERR", "INV.GET <bytes>"),
    ("FOREIGN", "INV.GET HEAP"),
    ("WRONGTYPE", "INV.GET LIST"),
    ("ERR", "INV.STOCK <nul>"),
    ("ERR", "INV.STOCK <huge>"),
    ("ok", "INV.STOCK WORD"),
    ("ok", "INV.STOCK R"),
    ("ERR", "INV.STOCK @"),
    ("ERR", "INV.STOCK P@"),
    ("ERR", "INV.STOCK P <nul>"),
    ("ERR", "INV.STOCK P <huge>"),
    ("ERR", "INV.STOCK P P@A"),
    ("ERR", "INV.STOCK <data>"),
    ("ERR", "INV.ALERTS COUNT 0"),
    ("ERR", "INV.ALERTS SINCE <bytes>"),
    ("ERR", "INV.AUDIT <nul>"),
    ("ERR", "INV.AUDIT <huge>"),
    ("ERR", "INV.AUDIT @A"),
    ("ERR", "INV.AUDIT P@A@B"),
    ("ERR", "INV.AUDIT P@A@"),
    ("ERR", "INV.AUDIT <data>"),
    ("ERR", "INV.AUDITSCAN c"),
    ("ERR", "INV.AUDITSCAN h-1"),
    ("ERR", "INV.AUDITSCAN c0 COUNT"),
    ("ERR", "INV.AUDITSCAN 0 COUNT 5 COUNT 5"),
    ("ERR", "INV.AUDITSCAN <nul>"),
    ("ERR", "INV.AUDITSCAN 0 COUNT <nul>"),
    ("ERR", "INV.REPAIR <nul>"),
    ("ERR", "INV.REPAIR P@"),
    ("ERR", "INV.REPAIR <bytes>"),
    ("WRONGTYPE", "INV.REPAIR LIST FORCE"),
    ("ok", "INCRBY stock:reserved:Q 1"),
    ("FOREIGN", "INV.REPAIR Q"),
    ("ok", "DECRBY stock:reserved:Q 1"),
    ("ERR", "INV.THRESHOLD <bytes> 1"),
    ("ERR", "INV.FLOOR <bytes> 1"),
    ("ERR", "INV.FLOOR P <nul>"),
    ("ERR", "INV.FLOOR P@A@B 1"),
    ("ERR", "INV.FLOOR P 1.5"),
    ("ERR", "INV.FLOOR P 1 2"),
    ("ERR", "INV.FLOOR W@N 1"),
    ("WRONGTYPE", "INV.FLOOR X 1"),
    ("ERR", "INV.THRESHOLD P <nul>"),
    ("ERR", "INV.THRESHOLD P@A DEFAULT"),
    ("ERR", "INV.THRESHOLD P 1.5"),
]];

/// Records that other commands move, change and delete; scripts and transactions; other databases.
const BY_HAND: &[Step] = &[
    &[
        ("ok", "INV.RESERVE a# EX 900 ITEMS P 1"),
        ("ok", "RENAME reservation:a# away#"),
        ("ok", "RENAME away# reservation:a#"),
        ("ok", "COPY reservation:a# reservation:copy#"),
        ("FOREIGN", "INV.COMMIT copy#"),
        ("ok", "DEL reservation:copy#"),
        ("ok", "PERSIST reservation:a#"),
        ("ok", "PEXPIRE reservation:a# 5000"),
        (
            "ok",
            "EVAL redis.call('RESTORE',KEYS[1],5000,redis.call('DUMP',KEYS[1]),'REPLACE') 1 reservation:a#",
        ),
        ("ok", "MOVE reservation:a# 1"),
        ("any", "INV.COMMIT a#"),
        ("ok", "SELECT 1"),
        ("DRIFT", "INV.COMMIT a#"),
        ("ok", "MOVE reservation:a# 0"),
        ("ok", "SELECT 0"),
        ("ok", "INV.COMMIT a#"),
        ("ok", "INV.RESERVE b# PX 1000 ITEMS P 1"),
        ("ok", "DEL reservation:b#"),
        ("any", "INV.ROLLBACK b#"),
        ("ok", "INV.RESERVE c# PX 1000 ITEMS P 1"),
        ("ok", "SET reservation:c# text"),
        ("FOREIGN", "INV.ROLLBACK c#"),
        ("ok", "DEL reservation:c#"),
        ("ok", "INV.RESERVE d# PX 1000 ITEMS P 1"),
        ("ok", "APPEND reservation:d# text"),
        ("ok", "UNLINK reservation:d#"),
        ("ok", "INV.RESERVE e# EX 900 ITEMS P 1"),
        ("ok", "PEXPIREAT reservation:e# 1"),
        ("EXPIRED", "INV.COMMIT e#"),
        ("ok", "INV.RESERVE f# EX 900 ITEMS P 1 W 1"),
        ("ok", "GETEX reservation:f# PX 1"),
        // The script has no blanks, so that it is one word.
        ("ok", "EVAL return{redis.call('INV.RESERVE',KEYS[1],'PX','1000','ITEMS','P','1')} 1 g#"),
        ("ok", "EVAL return{redis.pcall('INV.COMMIT',KEYS[1])} 1 nobody#"),
        ("ok", "EVAL redis.call('DEL',KEYS[1]) 1 reservation:g#"),
        ("ok", "WATCH stock:available:P"),
        ("ok", "MULTI"),
        ("ok", "INV.RESERVE h# EX 900 ITEMS P 1"),
        ("ok", "INV.COMMIT nobody"),
        ("ok", "INV.COMMIT h#"),
        ("ok", "INV.SCAN 0 COUNT 1"),
        ("ok", "EXEC"),
        ("ok", "SELECT 5"),
        ("ok", "SET stock:available:F 5"),
        ("ok", "INV.RESERVE i# EX 900 ITEMS F 1"),
        ("ok", "INV.RESERVE j# EX 900 ITEMS F 1"),
        ("ok", "DEL reservation:j#"),
        ("ok", "SWAPDB 5 6"),
        ("ok", "FLUSHDB ASYNC"),
        ("ok", "SELECT 6"),
        ("ok", "INV.GET i#"),
        ("ok", "FLUSHDB"),
        ("ok", "SELECT 0"),
        ("ok", "CONFIG SET inv.feed-maxlen 100"),
        ("ok", "INV.ADJUST P 1 NOTE refill#"),
        ("ok", "INV.ADJUST P -1 NOTE refill#"),
        ("ok", "CONFIG SET inv.feed-maxlen 0"),
        ("ok", "CONFIG GET inv.*"),
        ("ERR", "CONFIG SET inv.max-items 0"),
        ("ERR", "CONFIG SET inv.load-repair never"),
        ("ok", "INFO inv"),
        ("ok", "COMMAND GETKEYS INV.SCAN 0 PRODUCT P"),
        ("ok", "COMMAND GETKEYS INV.RESERVE x ITEMS P 1 Q 2"),
        ("ok", "AUTH clerk x"),
        ("ok", "INV.SCAN 0 COUNT 3"),
        ("ok", "INV.ALERTS COUNT 3"),
        ("NOPERM", "INV.COMMIT x"),
        ("ok", "SELECT 9"),
        ("ok", "INV.AUDITSCAN 0"),
        ("ok", "AUTH default x"),
        ("ok", "SELECT 0"),
    ],
    &[("ok", "INV.GET f#"), ("any", "INV.COMMIT f#")],
];

/// Rare steps, because they are slow or end all reservations.
const NOW_AND_THEN: &[Step] = &[
    &[
        ("ok", "CONFIG SET inv.hold-ttl-ms 900001"),
        ("ok", "CONFIG SET inv.max-hold-ms 3000000"),
        ("ok", "CONFIG SET inv.max-hold-ms 0"),
        ("ok", "CONFIG SET inv.outcome-ttl-ms 0"),
        ("ok", "INV.RESERVE k# ITEMS P 1"),
        ("ERR", "INV.COMMIT k# ONCE t"),
        ("ok", "INV.COMMIT k#"),
        ("ok", "CONFIG SET inv.outcome-ttl-ms 5000"),
        ("ok", "CONFIG SET inv.low-stock-threshold 11"),
        ("ok", "CONFIG SET inv.alert-ttl-ms 1000"),
        ("ok", "CONFIG SET inv.alert-cooldown-ms 1"),
        ("ok", "CONFIG SET inv.max-items 1024"),
        ("ok", "CONFIG SET inv.max-data-bytes 5000"),
        ("ok", "CONFIG SET inv.sweep-budget-us 500"),
        ("ok", "CONFIG SET inv.load-repair return"),
        ("ok", "CONFIG SET inv.load-repair auto"),
        ("ERR", "CONFIG SET inv.key-style tagged"),
        ("ok", "BGSAVE"),
        ("any", "BGREWRITEAOF"),
        ("ok", "CONFIG SET maxmemory 1"),
        ("any", "INV.RESERVE oom# ITEMS P 1"),
        // Reservations, outcomes and alerts have a deadline.
        ("ok", "CONFIG SET maxmemory-policy volatile-ttl"),
        ("any", "INV.RESERVE oom# ITEMS P 1"),
        ("ok", "CONFIG SET maxmemory-policy noeviction"),
        ("ok", "CONFIG SET maxmemory 0"),
        ("ok", "INV.SCAN 0"),
        ("ok", "INV.AUDITSCAN 0"),
    ],
    &[("ok", "FLUSHALL"), ("ok", "INV.STOCK P")],
];

/// For one of two nodes of a cluster: it has the slot of P and is importing that of `<far>`.
const IN_A_CLUSTER: Step = &[
    ("ok", "INV.ADJUST P 2"),
    ("ok", "INV.ADJUST {P}:Q 1"),
    ("ok", "INV.RESERVE {P}:a# ITEMS P 1 {P}:Q 1"),
    ("ok", "INV.COMMIT {P}:a#"),
    ("ok", "INV.RESERVE {P}* PX 1 ITEMS P 1"),
    ("ok", "INV.SCAN 0 PRODUCT P"),
    ("ok", "INV.SCAN 0"),
    ("ok", "INV.ALERTS PRODUCT P"),
    ("ok", "INV.AUDITSCAN 0"),
    ("CROSSSLOT", "INV.RESERVE {P}:x# ITEMS Q 1"),
    ("CROSSSLOT", "INV.COMMIT {P}:a# ITEMS Q 1"),
    ("CROSSSLOT", "INV.ROLLBACK {P}:a# ITEMS Q 1"),
    ("ERR", "INV.RESERVE {P}:a#:* ITEMS P@A 1"),
    ("ERR", "INV.ADJUST {P}@{A} 1"),
    ("ok", "ASKING"),
    ("TRYAGAIN", "INV.GET <far>"),
    ("ok", "ASKING"),
    ("TRYAGAIN", "INV.COMMIT <far>"),
    ("ok", "ASKING"),
    ("TRYAGAIN", "INV.AUDIT <far>"),
    ("MOVED", "INV.AUDIT <far>"),
    ("ok", "MULTI"),
    ("ok", "INV.ADJUST P 1"),
    ("ok", "INV.SCAN 0"),
    ("ok", "EXEC"),
];

/// The words of a command in this repetition.
fn words(command: &str, number: usize, far: &str) -> Vec<Vec<u8>> {
    let word = |word: &str| match word {
        "<items>" => (0..129).flat_map(|n| [format!("P{n}").into_bytes(), b"1".to_vec()]).collect(),
        word => vec![text(word, number, far)],
    };
    command.split(' ').flat_map(word).collect()
}

fn text(word: &str, number: usize, far: &str) -> Vec<u8> {
    match word {
        "<long>" => vec![b'x'; 257],
        "<long>*" => [vec![b'x'; 250], b"*".to_vec()].concat(),
        "<huge>" => vec![b'x'; 10_240],
        "<data>" => vec![b'x'; 4097],
        "<nul>" => b"P\0P".to_vec(),
        "<bytes>" => b"\xff\xfe".to_vec(),
        "<far>" => far.into(),
        word => word.replace('#', &number.to_string()).into_bytes(),
    }
}

/// A client that sends the lines.
struct Load {
    shop: Client,
    far: String,
    /// The number of the next repetition.
    next: usize,
}

impl Load {
    fn of(server: &Server) -> Self {
        Self { shop: server.connect(), far: String::new(), next: 0 }
    }

    fn once(&mut self, step: Step) {
        self.repeat(&[step], 1);
    }

    /// Repeats the steps.
    fn repeat(&mut self, steps: &[&[Line]], times: usize) {
        for (number, step) in steps.iter().enumerate() {
            if number > 0 {
                self.let_deadlines_pass();
            }
            let numbers = self.next..self.next + times;
            let lines: Vec<_> = numbers
                .flat_map(|n| step.iter().map(move |(answer, command)| (*answer, *command, n)))
                .collect();
            let commands: Vec<_> =
                lines.iter().map(|(_, command, n)| words(command, *n, &self.far)).collect();
            for ((answer, command, n), reply) in lines.into_iter().zip(self.shop.burst(&commands)) {
                assert!(fits(answer, &reply), "{command}, time {n}: {reply} and not {answer}");
            }
        }
        self.next += times;
    }

    /// Repeats the steps as often as configured, in parts; `between` runs after each part.
    fn run(&mut self, steps: &[&[Line]], mut between: impl FnMut(&mut Self)) {
        let lines: usize = steps.iter().map(|step| step.len()).max().unwrap_or(1);
        let part = (AT_ONCE / lines).max(1);
        let end = self.next + times();
        while self.next < end {
            self.repeat(steps, part.min(end - self.next));
            between(self);
        }
    }

    /// After some parts the sweep has run; after the others, the next command meets overdue reservations.
    fn let_deadlines_pass(&mut self) {
        let deadline = self.shop.now() + 1;
        wait_until("a deadline has passed", LATER, || self.shop.now() > deadline);
        if self.next.is_multiple_of(8) {
            let_the_sweep_pass(&mut self.shop);
        }
    }

    /// Writes how often each command was called, before the server ends.
    fn tell(&mut self) {
        let Some(folder) = std::env::var_os("INV_MEMCHECK_CALLS") else { return };
        let id = self.shop.info("server", "run_id");
        let stats = self.shop.ask("INFO commandstats");
        let path = std::path::Path::new(&folder).join(id);
        std::fs::write(path, stats.as_str().expect("text")).expect("a file");
    }
}

fn fits(answer: &str, reply: &Json) -> bool {
    let code = wire_code(reply);
    match answer {
        "any" => true,
        "ok" => !code.starts_with('-'),
        answer => code.strip_prefix('-') == Some(answer),
    }
}

/// Outcomes live long enough for the next line, but do not pile up.
const FORGETFUL: &str = "inv.outcome-ttl-ms 60000";

#[test]
fn each_command_is_in_enough_lines() {
    let server = Server::start();
    let commands = server.connect().ask("COMMAND LIST FILTERBY MODULE inv");
    let slips = SLIPS.iter().map(|command| ("ERR", *command));
    let lines: Vec<Line> = [RESERVATIONS, RESTOCKING, REFUSALS, BY_HAND]
        .iter()
        .flat_map(|steps| steps.iter().flat_map(|step| step.iter().copied()))
        .chain(slips)
        .collect();
    let count = |command: &str| {
        let of_it = lines.iter().filter(|(_, line)| line.split(' ').next() == Some(command));
        let (done, other): (Vec<&Line>, Vec<&Line>) = of_it.partition(|(answer, _)| *answer == "ok");
        (done.len(), other.iter().filter(|(answer, _)| *answer != "any").count())
    };
    let commands = commands.as_array().expect("an array").iter();
    let commands = commands.map(|command| command.as_str().expect("a name").to_uppercase());
    // INV.APPLY comes from a master only and is always refused to clients.
    let counts = commands.filter(|command| command != "INV.APPLY").map(|command| (count(&command), command));
    let short: Vec<_> = counts.filter(|((done, refused), _)| *done.min(refused) < LINES).collect();
    assert!(short.is_empty(), "these have too few lines that succeed or are refused: {short:?}");
}

#[test]
fn reservations_and_their_refusals() {
    let mut server = Server::start_with(&[FORGETFUL]);
    let mut load = Load::of(&server);
    load.once(STOCK);
    load.run(RESERVATIONS, |_| {});
    load.tell();
    server.shut_down();
}

#[test]
fn stock_and_its_readers() {
    let options = [
        FORGETFUL,
        "inv.max-hold-ms 0",
        "inv.alert-cooldown-ms 0",
        "inv.alert-ttl-ms 2000",
        "inv.feed-maxlen 1000",
    ];
    let mut server = Server::start_with(&options);
    let mut load = Load::of(&server);
    load.once(STOCK);
    load.run(RESTOCKING, |_| {});
    load.tell();
    server.shut_down();
}

#[test]
fn words_and_keys_that_are_refused() {
    let mut server = Server::start_with(&[FORGETFUL]);
    let mut load = Load::of(&server);
    load.once(STOCK);
    let slips: Vec<Line> = SLIPS.iter().map(|command| ("ERR", *command)).collect();
    load.run(&[&slips], |_| {});
    load.once(SPOILT);
    load.run(REFUSALS, |_| {});
    load.tell();
    server.shut_down();
}

#[test]
fn records_that_others_touch() {
    let lines = [FORGETFUL, "appendonly yes", "appendfsync no", "enable-module-command yes"];
    let mut server = Server::start_with(&lines);
    let mut load = Load::of(&server);
    load.once(STOCK);
    load.shop.ask("ACL SETUSER clerk on nopass +@all ~shop1*");
    let mut parts = 0_usize;
    load.run(BY_HAND, |load| {
        parts += 1;
        if (parts % 20) == 1 {
            load.repeat(NOW_AND_THEN, 1);
            load.once(STOCK);
        }
    });
    load.repeat(BY_HAND, 1);
    load.tell();
    // Starts from the AOF as written, from an RDB, and from an AOF that begins with an RDB.
    server.shut_down();
    server.start_again();
    let mut shop = server.connect();
    shop.ask("INV.RESERVE R2 EX 900 ITEMS P 5");
    shop.ask("DEBUG RELOAD");
    shop.ask("CONFIG SET aof-use-rdb-preamble yes");
    server.rewrite("BGREWRITEAOF");
    server.shut_down();
    server.start_again();
    // A module loaded later walks over the keys in slices, with commands in between.
    let mut load = Load::of(&server);
    load.shop.ask("CONFIG SET inv.outcome-ttl-ms 3600000");
    for n in 0..times().min(10_000) {
        load.shop.ask(format!("INV.RESERVE walk{n} EX 900 ITEMS P 1"));
    }
    for _ in 0..3 {
        load.shop.unload();
        let path = module();
        let path = path.to_str().expect("a path");
        load.shop.ask(["MODULE", "LOADEX", path, "CONFIG", "inv.sweep-budget-us", "100"]);
        load.repeat(&[&[("any", "INV.AUDIT P"), ("any", "INV.AUDITSCAN 0"), ("ok", "INV.GET walk1")]], 50);
        wait_for("the index is complete", LATER, "1".to_owned(), || load.shop.info("inv", "inv_index_ready"));
    }
    load.tell();
    load.shop.unload();
    server.shut_down();
}

#[test]
fn a_node_of_a_cluster() {
    // Under valgrind, a node may be too slow for a short timeout.
    let lines = ["inv.outcome-ttl-ms 1000", "cluster-node-timeout 600000"];
    let cluster = Cluster::start_with(2, 0, &lines);
    let home = cluster.owner("P");
    let far = (0..100).map(|n| format!("{{F{n}}}")).find(|id| cluster.owner(id) != home).expect("an id");
    let moving = cluster.begin_move(&far, home);
    let mut load = Load { far: far.clone(), ..Load::of(&cluster.masters[home]) };
    load.run(&[IN_A_CLUSTER], |_| {});
    load.tell();
    moving.call_off();
}
