//! Draws the state as text, on a screen of any size.

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table};
use ratatui::{Frame, buffer};

use crate::stock::{Place, Units};
use crate::watch::lists::{Cursor, Panel};
use crate::watch::look::{CHOSEN, FAINT, Look, STRONG};
use crate::watch::rates::Rates;
use crate::watch::reading::{Absence, Alert, Reservation};
use crate::watch::state::{Product, State};
use crate::watch::texts::{count, first_fit, fit, plain, tenths, time_ago, time_left, width_of};

/// From this width on, the lists are side by side.
const WIDE: u16 = 120;

/// From this height on, all lists are shown; below it, only the one that has the focus.
const TALL: u16 = 15;

/// How long an alert is shown as new.
const NEW_MS: i64 = 10_000;

/// A reservation that ends within this time is marked.
const SOON_MS: i64 = 10_000;

/// Draws everything, and tells the lists how many of their rows are visible.
pub fn draw(frame: &mut Frame, state: &mut State, now: i64, look: Look) {
    let area = frame.area();
    let complaint = state.complaint(now);
    let note = state.notes.first().map(|note| match state.notes.len() {
        1 => note.clone(),
        count => format!("{note} (and {} more)", count - 1),
    });
    let heights = [
        // If there is room for only one of them, the complaint replaces the title.
        u16::from(area.height > 1 || complaint.is_none()),
        u16::from(area.height > 3),
        u16::from(complaint.is_some()),
    ];
    let bottom = [u16::from(note.is_some() && area.height > 8), u16::from(area.height > 5)];
    let rows = heights.map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    let rows = Layout::vertical(rows.chain(bottom.map(Constraint::Length)));
    let [title, rates, trouble, lists, notes, help] = rows.areas(area);

    frame.render_widget(title_line(state, title.width, look), title);
    frame.render_widget(rates_line(state.rates(), rates.width), rates);
    if let Some(complaint) = complaint {
        let style = CHOSEN.patch(look.bad());
        frame.render_widget(Paragraph::new(format!(" {complaint}")).style(style), trouble);
    }
    if let Some(note) = note {
        frame.render_widget(Line::styled(format!(" {note}"), look.warning()), notes);
    }
    frame.render_widget(help_line(help.width, look), help);
    draw_lists(frame, state, lists, now, look);
    if state.is_help {
        draw_help(frame, area, look);
    }
    for cell in &mut frame.buffer_mut().content {
        make_plain(cell, look);
    }
}

/// Replaces characters of ids and data that this terminal cannot show.
fn make_plain(cell: &mut buffer::Cell, look: Look) {
    if !cell.symbol().is_ascii() {
        let plain = plain(cell.symbol(), look.is_utf8);
        // A cell may hold several code points: a character with its accents.
        let end = if look.is_utf8 { plain.len() } else { 1 };
        cell.set_symbol(plain.get(..end).filter(|plain| !plain.is_empty()).unwrap_or(" "));
    }
}

fn draw_lists(frame: &mut Frame, state: &mut State, area: Rect, now: i64, look: Look) {
    let is_tall = frame.area().height >= TALL;
    let share = |panel| Constraint::Fill(if state.focus == panel { 3 } else { 2 });
    if area.width >= WIDE && is_tall {
        let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(1);
        let [left, right] = halves.areas(area);
        let [upper, lower] =
            Layout::vertical([share(Panel::Reservations), share(Panel::Alerts)]).areas(right);
        draw_products(frame, state, left, look);
        draw_reservations(frame, state, upper, now, look);
        draw_alerts(frame, state, lower, now, look);
    } else if is_tall {
        let [first, second, third] = Layout::vertical(Panel::ALL.map(share)).areas(area);
        draw_products(frame, state, first, look);
        draw_reservations(frame, state, second, now, look);
        draw_alerts(frame, state, third, now, look);
    } else {
        match state.focus {
            Panel::Products => draw_products(frame, state, area, look),
            Panel::Reservations => draw_reservations(frame, state, area, now, look),
            Panel::Alerts => draw_alerts(frame, state, area, now, look),
        }
    }
}

fn title_line(state: &State, width: u16, look: Look) -> Line<'static> {
    let width = usize::from(width);
    let holds = state.holds.map(|holds| format!("{} held ", count(holds))).unwrap_or_default();
    let pause = if state.pause >= 2000 { format!("every {} s  ", state.pause / 1000) } else { String::new() };
    let right = if width < 30 { String::new() } else { format!("{pause}{holds}") };
    let room = width.saturating_sub(width_of(&right));
    let lefts = [format!(" {}  {} ", state.target, state.server), format!(" {} ", state.target)];
    let left = fit(&first_fit(&lefts, room), room, look);
    let gap = " ".repeat(room.saturating_sub(width_of(&left)));
    Line::styled(format!("{left}{gap}{right}"), STRONG)
}

/// As many rates as fit.
fn rates_line(rates: Option<Rates>, width: u16) -> Line<'static> {
    let Some(rates) = rates else {
        return Line::styled(" rates: not known yet", FAINT);
    };
    let least = if rates.are_at_least { ">=" } else { "" };
    let say = |rates: &Rates, names: [&str; 5], each: &str, gap: &str| {
        let [reserved, committed, rolled_back, expired, short] = names;
        let mut parts = vec![
            (reserved, rates.reserved),
            (committed, rates.committed),
            (rolled_back, rates.rolled_back),
            (expired, rates.expired),
        ];
        parts.extend(rates.short.map(|rate| (short, rate)));
        let parts: Vec<String> =
            parts.into_iter().map(|(name, rate)| format!("{name} {least}{}{each}", tenths(rate))).collect();
        format!(" {}", parts.join(gap))
    };
    let whole = ["reserved", "committed", "rolled back", "expired", "insufficient"];
    let half = ["res", "com", "back", "exp", "short"];
    let mut texts = vec![
        say(&rates, whole, "/s", "   "),
        say(&rates, whole, "/s", " "),
        say(&rates, half, "/s", "  "),
        say(&rates, half, "/s", " "),
    ];
    texts.push(say(&Rates { short: None, ..rates }, half, "", " "));
    Line::raw(first_fit(&texts, width.into()))
}

fn help_line(width: u16, look: Look) -> Line<'static> {
    let arrows = look.pick("↑↓", "jk");
    let texts = [
        format!(" q quit  Tab list  {arrows} move  Enter its reservations  Esc all  s sort  ? help"),
        format!(" q quit  Tab list  {arrows} move  s sort  ? help"),
        " q quit  Tab list  ? help".to_owned(),
    ];
    Line::styled(first_fit(&texts, width.into()), FAINT)
}

/// The frame of a list, with its number, which is the key that selects it.
fn titled(state: &State, panel: Panel, titles: &[String], width: u16, look: Look) -> Block<'static> {
    let number = match panel {
        Panel::Products => 1,
        Panel::Reservations => 2,
        Panel::Alerts => 3,
    };
    let room = usize::from(width).saturating_sub(5);
    let text = format!(" {number} {}", fit(&first_fit(titles, room), room, look));
    let style = if state.focus == panel { CHOSEN.patch(STRONG) } else { STRONG };
    Block::new()
        .borders(Borders::TOP)
        .border_set(look.frame())
        .border_style(FAINT)
        .title(Line::styled(format!("{text} "), style))
}

/// The visible rows of a list, by their numbers, below a heading if there is room.
struct Window {
    has_heading: bool,
    area: Rect,
    cursor: Cursor,
    is_focus: bool,
}

impl Window {
    fn new(frame: &mut Frame, state: &mut State, panel: Panel, block: Block<'_>, area: Rect) -> Self {
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let has_heading = inner.height > 3;
        let length = state.length(panel);
        let cursor = state.cursor(panel);
        cursor.fit(length, usize::from(inner.height).saturating_sub(usize::from(has_heading)));
        Self { has_heading, area: inner, cursor: *cursor, is_focus: state.focus == panel }
    }

    fn style(&self, row: usize, style: Style) -> Style {
        if self.is_focus && self.cursor.at == row { style.patch(CHOSEN) } else { style }
    }

    fn draw<const N: usize>(
        &self,
        frame: &mut Frame,
        heading: [Line<'static>; N],
        rows: Vec<Row<'static>>,
        widths: [Constraint; N],
    ) {
        let mut table = Table::new(rows, widths).column_spacing(1);
        if self.has_heading {
            table = table.header(Row::new(heading).style(FAINT));
        }
        frame.render_widget(table, self.area);
    }

    fn say(&self, frame: &mut Frame, text: &str) {
        let area = Rect { x: self.area.x + 1, width: self.area.width.saturating_sub(1), ..self.area };
        let wrapped = Paragraph::new(text.to_owned()).wrap(ratatui::widgets::Wrap { trim: true });
        frame.render_widget(wrapped.style(FAINT), area.intersection(self.area));
    }
}

fn draw_products(frame: &mut Frame, state: &mut State, area: Rect, look: Look) {
    let many = count(state.count_of_products());
    let cut = if state.are_products_cut { ", more are not shown" } else { "" };
    let seen = if state.is_finding_products() { " (still counting)" } else { "" };
    let titles = [
        format!("Products: {many}{cut}, {}{seen}", state.order.name()),
        format!("Products: {many}{cut}, {}", state.order.name()),
        format!("Products: {many}{cut}"),
    ];
    let block = titled(state, Panel::Products, &titles, area.width, look);
    let window = Window::new(frame, state, Panel::Products, block, area);
    if state.count_of_products() == 0 {
        if state.has_read() && state.knows_no_product() {
            window.say(frame, "There is none yet. INV.ADJUST PROD-1 10 makes one.");
        } else if state.is_without_server() {
            window.say(frame, "No server with the module has answered yet. make run starts one.");
        }
        return;
    }
    let shown: Vec<(usize, &str, &Product)> = state
        .rows()
        .enumerate()
        .map(|(row, (name, product))| (row, name, product))
        .skip(window.cursor.top)
        .take(window.cursor.height)
        .collect();
    let number = |units: fn(Units) -> i64| {
        let widths = shown.iter().filter_map(|(_, _, product)| product.stock.as_ref());
        widths.map(|stock| width_of(&count(units(stock.units)))).max().unwrap_or(0)
    };
    let width = usize::from(window.area.width);
    let is_narrow = width < 60;
    let [reservable, reserved] = if is_narrow { ["free", "resvd"] } else { ["reservable", "reserved"] };
    let reservable_width = number(|units| units.reservable).max(reservable.len());
    let reserved_width = number(|units| units.reserved).max(reserved.len());
    let longest = shown.iter().map(|(_, name, _)| width_of(name)).max().unwrap_or(0);
    let name_width = (longest + 1).clamp(8, (width / 3).max(8));
    let bar_width = width.saturating_sub(name_width + reservable_width + reserved_width + 3 + 4);

    let row = |&(row, name, product): &(usize, &str, &Product)| {
        let name = format!(" {}", fit(name, name_width.saturating_sub(1), look));
        let Some(stock) = &product.stock else {
            let why = match product.absence {
                None => "",
                Some(Absence::NotHere) => "no such product here",
                Some(Absence::Hidden) => "this user may not see it",
                Some(Absence::Unreadable) => "cannot be read",
            };
            let cells = [Line::raw(name), Line::styled(why, FAINT)];
            return Row::new(cells.map(Cell::from)).style(window.style(row, Style::new()));
        };
        let units = stock.units;
        let (flag, style) = match units.reservable {
            ..=0 => ("OUT", look.bad()),
            reservable if reservable <= stock.threshold => ("LOW", look.warning()),
            _ => ("", look.good()),
        };
        let text = if state.is_old(product) { FAINT } else { Style::new() };
        let cells = [
            Line::raw(name),
            bar(units, product.most, bar_width, style, look),
            Line::styled(count(units.reservable), text).right_aligned(),
            Line::styled(count(units.reserved), text).right_aligned(),
            Line::styled(flag, style.patch(STRONG)),
        ];
        Row::new(cells.map(Cell::from)).style(window.style(row, Style::new()))
    };
    let rows = shown.iter().map(row).collect();
    let length = |width: usize| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX));
    let widths =
        [length(name_width), length(bar_width), length(reservable_width), length(reserved_width), length(3)];
    let heading = [
        Line::raw(" product"),
        bar_legend(bar_width, look),
        Line::raw(reservable).right_aligned(),
        Line::raw(reserved).right_aligned(),
        Line::raw(""),
    ];
    window.draw(frame, heading, rows, widths);
}

/// Available units, reserved units, and those that have left since the largest number was seen.
fn bar(units: Units, most: i64, width: usize, style: Style, look: Look) -> Line<'static> {
    let [available, reserved] = bar_parts(units, most, width);
    let gone = width.saturating_sub(available + reserved);
    Line::from(vec![
        Span::styled(look.pick("█", "#").repeat(available), style),
        Span::styled(look.pick("▒", "=").repeat(reserved), style),
        Span::styled(look.pick("·", ".").repeat(gone), FAINT),
    ])
}

/// How much of a bar is available and how much is reserved. Each gets at least one cell if it is not zero and there are two
/// cells.
pub fn bar_parts(units: Units, most: i64, width: usize) -> [usize; 2] {
    let [available, reserved, most] =
        [units.available, units.reserved, most].map(|units| u128::try_from(units).unwrap_or(0));
    let most = most.max(available + reserved);
    let all = u128::try_from(width).unwrap_or(0);
    let cells = |units: u128| {
        let cells = (units * all + most / 2).checked_div(most).unwrap_or(0);
        usize::try_from(cells).unwrap_or(width).max(usize::from(units > 0)).min(width)
    };
    let (mut available, mut reserved) = (cells(available), cells(reserved));
    // Rounding both up may give one cell too many.
    while available + reserved > width {
        if available >= reserved { available -= 1 } else { reserved -= 1 }
    }
    [available, reserved]
}

fn bar_legend(width: usize, look: Look) -> Line<'static> {
    let [full, held, gone] = look.pick(["█", "▒", "·"], ["#", "=", "."]);
    let texts = [
        format!("{full} available {held} reserved {gone} gone since first seen"),
        format!("{full} available {held} reserved {gone} gone"),
        format!("{full} {held} {gone}"),
    ];
    Line::raw(first_fit(&texts, width))
}

fn draw_reservations(frame: &mut Frame, state: &mut State, area: Rect, now: i64, look: Look) {
    let shown = state.nearest.len();
    let many = match (&state.of, state.is_cut, state.holds) {
        (Some(_), false, _) if state.is_searching => format!("{} so far", count(shown)),
        (_, false, _) => count(shown),
        (None, true, Some(holds)) => format!("showing {} of {}", count(shown), count(holds)),
        (_, true, _) => format!("showing {}, there are more", count(shown)),
    };
    let whose = state.of.as_ref().map(|of| format!(" of {of}")).unwrap_or_default();
    let titles = [
        format!("Reservations{whose}: {many}, next deadline first"),
        format!("Reservations{whose}: {many}"),
        many,
    ];
    let block = titled(state, Panel::Reservations, &titles, area.width, look);
    let (block, area) = draw_warehouses(frame, state, block, area);
    let window = Window::new(frame, state, Panel::Reservations, block, area);
    if shown == 0 {
        // If there are more, the listed ones have just ended.
        if state.has_read() && !state.is_cut {
            window.say(frame, if state.is_searching { "Searching ..." } else { "None is live." });
        }
        return;
    }
    let there = state.there(now);
    let rows: Vec<(usize, &Reservation)> =
        state.nearest.iter().enumerate().skip(window.cursor.top).take(window.cursor.height).collect();
    let width = usize::from(window.area.width);
    let longest = rows.iter().map(|(_, reservation)| width_of(&reservation.id)).max().unwrap_or(0);
    let id_width = longest.clamp(11, (width / 2).saturating_sub(6).max(11));
    let row = |&(row, reservation): &(usize, &Reservation)| {
        let left = reservation.expires_at.map(|deadline| deadline.saturating_sub(there));
        let style = if left.is_some_and(|left| left < SOON_MS) { look.warning() } else { Style::new() };
        let cells = [
            Line::styled(left.map_or("?".to_owned(), time_left), style).right_aligned(),
            Line::raw(fit(&reservation.id, id_width, look)),
            holdings(reservation),
        ];
        Row::new(cells.map(Cell::from)).style(window.style(row, Style::new()))
    };
    let rows = rows.iter().map(row).collect();
    let widths = [
        Constraint::Length(10),
        Constraint::Length(u16::try_from(id_width).unwrap_or(u16::MAX)),
        Constraint::Fill(1),
    ];
    let heading = [Line::raw("ends in").right_aligned(), Line::raw("reservation"), Line::raw("holds")];
    window.draw(frame, heading, rows, widths);
}

/// Draws the units in each warehouse of the product whose reservations are listed, in a line above them.
fn draw_warehouses<'a>(frame: &mut Frame, state: &State, block: Block<'a>, area: Rect) -> (Block<'a>, Rect) {
    let stock = state.rows().find(|(name, _)| Some(*name) == state.of.as_deref());
    let warehouses = stock.and_then(|(_, product)| product.stock.as_ref()).map(|stock| &stock.warehouses);
    let Some(warehouses) = warehouses.filter(|warehouses| !warehouses.is_empty() && area.height > 3) else {
        return (block, area);
    };
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let places = warehouses.iter().map(|Place { warehouse, units, .. }| {
        format!("@{warehouse} {} + {}", count(units.available), count(units.reserved))
    });
    let line = format!(" available + reserved:  {}", places.collect::<Vec<_>>().join("   "));
    frame.render_widget(Line::styled(line, STRONG), inner);
    (Block::new(), Rect { y: inner.y + 1, height: inner.height - 1, ..inner })
}

/// `SHOE 2, LACE@A 1`, followed by the shop's DATA.
fn holdings(reservation: &Reservation) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    // A screen has room for a few only.
    for item in reservation.items.iter().take(50) {
        if !spans.is_empty() {
            spans.push(Span::raw(", "));
        }
        let place = item.warehouse.as_ref().map(|place| format!("@{place}")).unwrap_or_default();
        spans.push(Span::raw(format!("{}{place} ", item.product)));
        spans.push(Span::styled(count(item.quantity), STRONG));
    }
    if !reservation.data.is_empty() {
        let data: String = reservation.data.chars().take(200).collect();
        spans.push(Span::styled(format!("  {data}"), FAINT));
    }
    Line::from(spans)
}

fn draw_alerts(frame: &mut Frame, state: &mut State, area: Rect, now: i64, look: Look) {
    let mut titles = vec!["Alerts".to_owned()];
    if !state.alerts.is_empty() {
        titles.insert(0, format!("Alerts: the last {}, newest first", count(state.alerts.len())));
    }
    let block = titled(state, Panel::Alerts, &titles, area.width, look);
    let window = Window::new(frame, state, Panel::Alerts, block, area);
    if state.alerts.is_empty() {
        if state.has_read() {
            window.say(frame, "None is stored.");
        }
        return;
    }
    let there = state.there(now);
    let rows: Vec<(usize, &Alert)> =
        state.alerts.iter().enumerate().skip(window.cursor.top).take(window.cursor.height).collect();
    let longest = rows.iter().map(|(_, alert)| width_of(&alert.product)).max().unwrap_or(0);
    let width = usize::from(window.area.width);
    let name_width = longest.clamp(7, (width / 3).max(7));
    let row = |&(row, alert): &(usize, &Alert)| {
        let age = there.saturating_sub(alert.timestamp);
        let style = if age < NEW_MS { STRONG } else { Style::new() };
        let kind = match alert.kind.as_str() {
            "OUT_OF_STOCK" => look.bad(),
            "LOW_STOCK" => look.warning(),
            _ => look.good(),
        };
        let cells = [
            Line::raw(time_ago(age)).right_aligned(),
            Line::styled(alert.kind.clone(), kind),
            Line::raw(fit(&alert.product, name_width, look)),
            Line::raw(format!("{} (threshold {})", count(alert.available), count(alert.threshold))),
        ];
        Row::new(cells.map(Cell::from)).style(window.style(row, style))
    };
    let rows = rows.iter().map(row).collect();
    let widths = [
        Constraint::Length(10),
        Constraint::Length(13),
        Constraint::Length(u16::try_from(name_width).unwrap_or(u16::MAX)),
        Constraint::Fill(1),
    ];
    let heading =
        [Line::raw("came").right_aligned(), Line::raw("alert"), Line::raw("product"), Line::raw("available")];
    window.draw(frame, heading, rows, widths);
}

const HELP: &[&str] = &[
    "q, Ctrl-C   quit",
    "Tab, 1 2 3  select a list",
    "up down     select a row; also j k PgUp PgDn",
    "            Home End",
    "Enter       show this product's reservations",
    "Esc         show all reservations",
    "s           change the order of products",
    "",
    "All products are found, a few hundred at a time",
    "(not in tagged key style). A bar is as long as the most",
    "units on hand that were seen here; units sold since then",
    "are gone. OUT: none can be reserved. LOW: at the threshold",
    "or below. Faint numbers are some seconds old: products",
    "take turns. Deadlines and alerts use the server's clock;",
    "rates are averages over the last five seconds.",
];

fn draw_help(frame: &mut Frame, area: Rect, look: Look) {
    let width = area.width.min(60);
    let height = area.height.min(u16::try_from(HELP.len()).unwrap_or(u16::MAX).saturating_add(2));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let block = Block::bordered().border_set(look.frame()).title(" press any key ");
    let lines: Vec<Line> = HELP.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
