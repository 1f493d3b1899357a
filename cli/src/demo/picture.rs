//! The chart: where the units are over time, with a panel for each way, as SVG.
//!
//! Sold, reserved and available units are stacked, so that together they reach the number of units for sale, and a shop that has
//! promised more is above that line.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, Color, DrawingArea, IntoDrawingArea, IntoFont, IntoTextStyle, PathElement, Polygon, RGBColor,
    Rectangle, SVGBackend, Text, WHITE,
};
use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::demo::sale::{Look, Report};

/// The picture is shown at this width in the README. Nothing is drawn larger or smaller there.
const WIDTH: i32 = 860;
const PLOT: [i32; 2] = [50, 700];
/// The heights of the legend, of the title of a panel, of the space below it, and of the axis.
const LEGEND: i32 = 40;
const TITLE: i32 = 34;
const GAP: i32 = 18;
const AXIS: i32 = 40;
/// The height of the number of units for sale. It is the same in all panels.
const UNITS_HEIGHT: f64 = 96.0;

const SOLD: RGBColor = RGBColor(52, 150, 90);
const RESERVED: RGBColor = RGBColor(240, 166, 62);
const AVAILABLE: RGBColor = RGBColor(66, 133, 214);
const FAULT: RGBColor = RGBColor(200, 30, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// The colour of a layer, and the units in it.
type Layer = (RGBColor, fn(&Look) -> i64);

/// What is stacked, from the bottom.
const LAYERS: [Layer; 3] = [
    (SOLD, |look| look.sold),
    (RESERVED, |look| look.held),
    // A counter that falls below zero is not a shelf with fewer than no units.
    (AVAILABLE, |look| look.available.max(0)),
];

/// How the text is written.
struct Style {
    size: i32,
    colour: RGBColor,
    is_bold: bool,
    side: HPos,
}

const PLAIN: Style = Style { size: 14, colour: RGBColor(40, 40, 40), is_bold: false, side: HPos::Left };

fn write(area: &Area, text: &str, at: (i32, i32), style: &Style) -> Drawn {
    let font = ("sans-serif", style.size).into_font();
    let font = if style.is_bold { font.style(FontStyle::Bold) } else { font };
    let style = font.color(&style.colour).pos(Pos::new(style.side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style.into_text_style(area)))?;
    Ok(())
}

/// The top of the first so many layers. The three numbers are read one after the other, so their sum may be a little too large
/// for a moment; but a shop that has oversold nothing has never promised more than there is.
fn top(report: &Report, look: &Look, layers: usize) -> i64 {
    let sum = LAYERS[..layers].iter().map(|(_, of)| of(look).max(0)).sum();
    if report.oversold() == 0 { report.units.min(sum) } else { sum }
}

/// The number of units at the upper end of a panel.
fn most(report: &Report) -> i64 {
    report.looks.iter().map(|look| top(report, look, LAYERS.len())).max().unwrap_or(0).max(report.units)
}

/// A panel: its report, and where it is.
struct Panel<'a> {
    report: &'a Report,
    /// The y of its axis, and the height of a unit.
    bottom: i32,
    unit: f64,
    /// The width of a second.
    second: f64,
}

impl Panel<'_> {
    fn x(&self, look: &Look) -> i32 {
        PLOT[0] + (look.at.as_secs_f64() * self.second).round() as i32
    }

    fn y(&self, units: i64) -> i32 {
        self.bottom - (units as f64 * self.unit).round() as i32
    }

    /// Fills the area between two numbers of units. Nothing changes after a sale: the last look is continued to the right end.
    fn fill(&self, area: &Area, colour: impl Color, [from, to]: [&dyn Fn(&Look) -> i64; 2]) -> Drawn {
        let looks = &self.report.looks;
        let side = |of: &dyn Fn(&Look) -> i64| {
            let points = looks.iter().map(|look| (self.x(look), self.y(of(look))));
            points.chain(looks.last().map(|look| (PLOT[1], self.y(of(look))))).collect::<Vec<_>>()
        };
        let outline: Vec<(i32, i32)> = side(to).into_iter().chain(side(from).into_iter().rev()).collect();
        area.draw(&Polygon::new(outline, colour.filled()))?;
        Ok(())
    }

    fn draw(&self, area: &Area) -> Drawn {
        let Report { name, units, .. } = *self.report;
        for (layer, (colour, _)) in LAYERS.iter().enumerate() {
            self.fill(
                area,
                *colour,
                [&|look| top(self.report, look, layer), &|look| top(self.report, look, layer + 1)],
            )?;
        }
        // Above this line, units are promised that do not exist.
        self.fill(
            area,
            FAULT.mix(0.75),
            [&|_| units, &|look| top(self.report, look, LAYERS.len()).max(units)],
        )?;
        let line = self.y(units);
        area.draw(&PathElement::new([(PLOT[0], line), (PLOT[1], line)], BLACK.stroke_width(1)))?;
        area.draw(&PathElement::new([(PLOT[0], self.bottom), (PLOT[1], self.bottom)], BLACK.mix(0.4)))?;
        for (number, y) in [(0, self.bottom), (units, line)] {
            write(area, &number.to_string(), (PLOT[0] - 8, y), &Style { side: HPos::Right, ..PLAIN })?;
        }
        let title = (PLOT[0], self.y(most(self.report)) - TITLE / 2);
        write(area, &format!("{name}:"), title, &Style { size: 16, is_bold: true, ..PLAIN })?;
        let (verdict, colour) = self.verdict();
        let beside = (PLOT[0] + 9 * name.len() as i32 + 14, title.1);
        write(area, &verdict, beside, &Style { size: 16, colour, ..PLAIN })?;
        self.label(area)
    }

    /// What the picture shows, in words.
    fn verdict(&self) -> (String, RGBColor) {
        let Report { units, held, .. } = *self.report;
        let sold = self.report.books.sold.count();
        match (self.report.oversold(), held) {
            (0, 0) => (format!("{sold} of {units} sold"), SOLD),
            (0, held) => (format!("{sold} of {units} sold, {held} held forever"), FAULT),
            (over, _) => (format!("{sold} of {units} sold: {over} customers paid for nothing"), FAULT),
        }
    }

    /// The last state, beside the end of the layers.
    fn label(&self, area: &Area) -> Drawn {
        let Report { units, held, available, .. } = *self.report;
        let sold = self.report.books.sold.count();
        let beside = |from: i64, to: i64| (PLOT[1] + 8, i32::midpoint(self.y(from), self.y(to)));
        write(
            area,
            &format!("{} sold", sold.min(units)),
            beside(0, sold.min(units)),
            &Style { colour: SOLD, ..PLAIN },
        )?;
        if sold > units {
            let style = Style { colour: FAULT, is_bold: true, ..PLAIN };
            write(area, &format!("{} sold twice", sold - units), beside(units, sold), &style)?;
        }
        if held > 0 {
            let style = Style { colour: FAULT, is_bold: true, ..PLAIN };
            write(area, &format!("{held} held forever"), beside(sold, sold + held), &style)?;
        }
        if available > 0 {
            let style = Style { colour: AVAILABLE, ..PLAIN };
            write(
                area,
                &format!("{available} available"),
                beside(sold + held, sold + held + available),
                &style,
            )?;
        }
        Ok(())
    }
}

/// The colours of the layers. Available units are gone so soon that the chart needs a hint where to look.
fn draw_legend(area: &Area, reports: &[Report; 3]) -> Drawn {
    let gone = reports.iter().flat_map(|report| report.looks.iter().find(|look| look.available <= 0));
    let gone = gone.map(|look| look.at.as_secs_f64()).fold(0.0, f64::max);
    let hint = format!("available: gone after {gone:.1} s, at the left edge");
    let mut x = PLOT[0];
    let promised = "promised, but not there";
    for (name, colour) in [("sold", SOLD), ("reserved", RESERVED), (promised, FAULT), (&*hint, AVAILABLE)] {
        area.draw(&Rectangle::new([(x, 14), (x + 14, 28)], colour.filled()))?;
        write(area, name, (x + 20, 21), &PLAIN)?;
        x += 42 + 7 * name.len() as i32;
    }
    Ok(())
}

fn draw_axis(area: &Area, y: i32, seconds: f64, second: f64) -> Drawn {
    let step = (seconds / 10.0).ceil().max(1.0) as usize;
    for tick in (0..=seconds as usize).step_by(step) {
        let x = PLOT[0] + (tick as f64 * second) as i32;
        area.draw(&PathElement::new([(x, y), (x, y + 5)], BLACK.mix(0.4)))?;
        let text = if tick == 0 { "0 s".to_owned() } else { tick.to_string() };
        write(area, &text, (x, y + 16), &Style { side: HPos::Center, ..PLAIN })?;
    }
    Ok(())
}

/// Draws all sales on one scale.
pub fn draw(path: &Path, reports: &[Report; 3]) -> Drawn {
    let looks = || reports.iter().flat_map(|report| &report.looks);
    let seconds = looks().map(|look| look.at.as_secs_f64()).fold(0.1, f64::max);
    let second = f64::from(PLOT[1] - PLOT[0]) / seconds;
    let mut panels = Vec::new();
    let mut y = LEGEND;
    for report in reports {
        let unit = UNITS_HEIGHT / report.units as f64;
        y += TITLE + (most(report) as f64 * unit).ceil() as i32;
        panels.push(Panel { report, bottom: y, unit, second });
        y += GAP;
    }
    let size = (WIDTH as u32, (y + AXIS - GAP) as u32);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    draw_legend(&area, reports)?;
    for panel in &panels {
        panel.draw(&area)?;
    }
    draw_axis(&area, y - GAP, seconds, second)?;
    area.present()?;
    Ok(())
}
