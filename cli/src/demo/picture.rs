//! The chart: available, held and sold units over time, with a part for each way, as SVG.

use std::error::Error;
use std::path::Path;

use plotters::chart::ChartBuilder;
use plotters::prelude::{
    BLACK, Color, IntoDrawingArea, IntoFont, LineSeries, PathElement, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};

use crate::demo::sale::{Look, Report};

const SIZE: (u32, u32) = (1440, 380);

/// Name, colour, and the value it shows.
type Line = (&'static str, RGBColor, fn(&Look) -> i64);

const LINES: [Line; 3] = [
    ("available", RGBColor(31, 119, 180), |look| look.available),
    ("reserved", RGBColor(214, 126, 20), |look| look.held),
    ("sold", RGBColor(44, 140, 70), |look| look.sold),
];

/// Draws all sales on one scale.
pub fn draw(path: &Path, reports: &[Report; 3]) -> Result<(), Box<dyn Error>> {
    let looks = || reports.iter().flat_map(|report| &report.looks);
    let seconds = looks().map(|look| look.at.as_secs_f64()).fold(0.0, f64::max);
    let values = || looks().flat_map(|look| LINES.iter().map(move |(_, _, of)| of(look)));
    let (least, most) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    // Leave room for the labels: they are above all lines except the peak, which is on the other side.
    let room = |share| (most - least) / share + 1;

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    for (part, report) in area.split_evenly((1, reports.len())).iter().zip(reports) {
        let title = format!("{}: {} sold of {}", report.name, report.books.sold.count(), report.units);
        let mut chart = ChartBuilder::on(part)
            .caption(title, ("sans-serif", 18).into_font())
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..seconds, (least - room(20))..(most + room(8)))?;
        chart.configure_mesh().x_desc("seconds").y_desc("units").light_line_style(WHITE).draw()?;
        // Reference lines at zero and at the number of units for sale.
        for level in [0, report.units] {
            chart.draw_series(LineSeries::new([(0.0, level), (seconds, level)], BLACK.mix(0.4)))?;
        }
        for (name, colour, of) in LINES {
            let points = report.looks.iter().map(|look| (look.at.as_secs_f64(), of(look)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    area.present()?;
    Ok(())
}
