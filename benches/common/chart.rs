//! The charts of the reports, as SVG, and where reports are saved.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::{
    BLACK, Color, DrawingArea, IntoDrawingArea, IntoFont, IntoTextStyle, LineSeries, PathElement, RGBColor,
    Rectangle, SVGBackend, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The colour of the module, and of what it is compared with.
pub const OWN: RGBColor = RGBColor(11, 122, 75);
pub const RIVAL: RGBColor = RGBColor(148, 163, 184);

const FONT: &str = "sans-serif";
const SIZE: u32 = 13;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A file in `benches/results/`.
fn result(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results").join(name)
}

/// Saves a report.
pub fn save_text(name: &str, text: &str) {
    std::fs::write(result(name), format!("{text}\n")).expect("the report is saved");
    eprintln!("saved in benches/results/{name}");
}

/// A bar with its minimum, median and maximum.
pub struct Bar {
    pub label: String,
    pub is_own: bool,
    pub spread: [f64; 3],
}

/// Bars that are compared with each other.
pub struct Group {
    pub title: String,
    pub bars: Vec<Bar>,
}

/// Draws horizontal bars of the medians, with a line from the minimum to the maximum.
pub fn bars(name: &str, title: &str, groups: &[Group]) {
    const WIDTH: u32 = 760;
    const BARS: Range<i32> = 340..690;
    const ROW: i32 = 22;
    const GAP: i32 = 12;
    const TOP: i32 = 44;
    let rows: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + ROW * rows as i32 + GAP * groups.len() as i32;
    let all = || groups.iter().flat_map(|group| &group.bars);
    let most = all().map(|bar| bar.spread[2]).fold(0.0, f64::max);
    let decimals = if most < 100.0 { 1 } else { 0 };
    let x = |value: f64| BARS.start + (f64::from(BARS.end - BARS.start) * value / most) as i32;

    let path = result(name);
    let area = SVGBackend::new(&path, (WIDTH, height as u32)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let write = |text: &str, at: (i32, i32), to: HPos, is_bold: bool| {
        let font = (FONT, SIZE).into_font();
        let font = if is_bold { font.style(plotters::style::FontStyle::Bold) } else { font };
        let style = font.into_text_style(&area).pos(Pos::new(to, VPos::Center));
        area.draw(&Text::new(text.to_owned(), at, style)).unwrap();
    };
    write(title, (12, 20), HPos::Left, true);
    let mut y = TOP;
    for group in groups {
        write(&group.title, (12, y + ROW / 2), HPos::Left, false);
        for bar in &group.bars {
            let middle = y + ROW / 2;
            let [least, median, greatest] = bar.spread;
            let colour = if bar.is_own { OWN } else { RIVAL };
            write(&bar.label, (BARS.start - 8, middle), HPos::Right, bar.is_own);
            let corners = [(BARS.start, y + 3), (x(median), y + ROW - 3)];
            area.draw(&Rectangle::new(corners, colour.filled())).unwrap();
            let (from, to) = (x(least), x(greatest));
            for line in [
                [(from, middle), (to, middle)],
                [(from, middle - 4), (from, middle + 4)],
                [(to, middle - 4), (to, middle + 4)],
            ] {
                area.draw(&PathElement::new(line, BLACK)).unwrap();
            }
            write(&format!("{median:.decimals$}"), (to.max(x(median)) + 8, middle), HPos::Left, bar.is_own);
            y += ROW;
        }
        y += GAP;
    }
    area.present().unwrap();
    eprintln!("saved in benches/results/{name}");
}

/// A line of a chart.
pub struct Curve<X, Y> {
    pub name: String,
    pub colour: RGBColor,
    pub points: Vec<(X, Y)>,
}

/// The axes of a chart: what they show, and their ranges.
pub struct Axes<X, Y> {
    pub x: X,
    pub y: Y,
    pub x_name: &'static str,
    pub y_name: String,
}

/// A chart of some panels next to each other, each `size` pixels large.
pub fn panels(name: &str, size: (u32, u32), panels: usize, mut draw: impl FnMut(usize, &Area)) {
    let path = result(name);
    let area = SVGBackend::new(&path, (size.0 * panels as u32, size.1)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    for (number, part) in area.split_evenly((1, panels)).iter().enumerate() {
        draw(number, part);
    }
    area.present().unwrap();
    eprintln!("saved in benches/results/{name}");
}

/// Draws lines, with the legend above them, one name a line.
pub fn curves<X, Y>(
    area: &Area,
    axes: Axes<X, Y>,
    x_label: &dyn Fn(&X::Value) -> String,
    curves: &[Curve<X::Value, Y::Value>],
) where
    X: AsRangedCoord,
    Y: AsRangedCoord,
    X::CoordDescType: ValueFormatter<X::Value>,
    Y::CoordDescType: ValueFormatter<Y::Value>,
    X::Value: Clone + std::fmt::Debug + 'static,
    Y::Value: Clone + std::fmt::Debug + 'static,
{
    let (legend, plot) = area.split_vertically(12 + 20 * curves.len() as u32);
    let style = (FONT, SIZE).into_text_style(&legend).pos(Pos::new(HPos::Left, VPos::Center));
    for (number, curve) in curves.iter().enumerate() {
        let y = 20 + 20 * number as i32;
        legend.draw(&PathElement::new([(60, y), (84, y)], curve.colour.stroke_width(3))).unwrap();
        legend.draw(&Text::new(curve.name.clone(), (92, y), style.clone())).unwrap();
    }
    let mut chart = ChartBuilder::on(&plot)
        .margin(10)
        .margin_right(28)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(axes.x, axes.y)
        .unwrap();
    chart
        .configure_mesh()
        .x_desc(axes.x_name)
        .y_desc(axes.y_name)
        .x_label_formatter(x_label)
        .label_style((FONT, SIZE - 1))
        .axis_desc_style((FONT, SIZE))
        .light_line_style(WHITE)
        .draw()
        .unwrap();
    for curve in curves {
        chart.draw_series(LineSeries::new(curve.points.clone(), curve.colour.stroke_width(3))).unwrap();
    }
}
