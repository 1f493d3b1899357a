//! The chart: returned units over the time after the deadline, on a log scale, as SVG.

use std::fmt::Write;

/// Each observed change: milliseconds after the deadline, and the units returned from then on.
pub type Line = Vec<(f64, usize)>;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// The positions of the axes.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 300.0;
/// The start of the log scale.
const FIRST_MS: f64 = 1.0;

/// The data of the chart.
pub struct Chart<'a> {
    /// All units, and the last millisecond.
    pub units: usize,
    pub last_ms: f64,
    /// Name, colour and line.
    pub lines: [(String, &'static str, &'a Line); 2],
}

impl Chart<'_> {
    /// The whole SVG file.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n\
             <title>Stock back over time</title>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        self.draw_axes(&mut svg);
        for (number, (name, colour, line)) in self.lines.iter().enumerate() {
            let path = self.path(line);
            let x = LEFT + 360.0 * number as f64;
            writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>")
                .unwrap();
            writeln!(
                svg,
                "<path d=\"M{x} 30h24\" stroke=\"{colour}\" stroke-width=\"2.5\"/>\
                 <text x=\"{}\" y=\"34\">{name}</text>",
                x + 32.0
            )
            .unwrap();
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axes(&self, svg: &mut String) {
        for quarter in 0..=4 {
            let units = self.units * quarter / 4;
            let y = self.y(units);
            writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{units}</text>",
                LEFT - 8.0,
                y + 4.0
            )
            .unwrap();
        }
        let mut tick = FIRST_MS;
        while tick < self.last_ms * 0.6 {
            self.draw_tick(svg, tick);
            tick *= 10.0;
        }
        self.draw_tick(svg, self.last_ms);
        writeln!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#333\"/>\n\
             <text x=\"{}\" y=\"346\" text-anchor=\"middle\">seconds after the deadline (log scale)</text>\n\
             <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">units back of {}</text>",
            f64::midpoint(LEFT, RIGHT),
            f64::midpoint(TOP, BOTTOM),
            self.units
        )
        .unwrap();
    }

    fn draw_tick(&self, svg: &mut String, at_ms: f64) {
        let x = self.x(at_ms);
        writeln!(
            svg,
            "<path d=\"M{x:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"320\" text-anchor=\"middle\">{}</text>",
            at_ms / 1000.0
        )
        .unwrap();
    }

    /// Draws steps: the units stay the same until the next observed change.
    fn path(&self, line: &Line) -> String {
        let mut path = format!("M{LEFT} {:.1}", self.y(0));
        for &(at_ms, units) in line {
            write!(path, "H{:.1}V{:.1}", self.x(at_ms), self.y(units)).unwrap();
        }
        write!(path, "H{RIGHT}").unwrap();
        path
    }

    fn x(&self, at_ms: f64) -> f64 {
        let at_ms = at_ms.clamp(FIRST_MS, self.last_ms);
        LEFT + (RIGHT - LEFT) * (at_ms / FIRST_MS).ln() / (self.last_ms / FIRST_MS).ln()
    }

    fn y(&self, units: usize) -> f64 {
        BOTTOM - (BOTTOM - TOP) * units as f64 / self.units as f64
    }
}
