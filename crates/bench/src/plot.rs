//! A plot as SVG: some lines over a logarithmic axis, with their least and most.

use std::fmt::Write as _;

use crate::report::Spread;

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Spread)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 44.0;
/// Told apart also by those who see few colours (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/// The text of a plot. Both axes begin where the figures do, the upright one at nothing.
pub(crate) fn svg(title: &str, across: &str, up: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let least = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min).max(1.0);
    let most = points().map(|(x, _)| *x).fold(least * 1.01, f64::max);
    let top = points().map(|(_, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max) * 1.05;
    let x = |value: f64| LEFT + (value / least).ln() / (most / least).ln() * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let mut out = String::new();
    let mut put = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    put(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
    ));
    put(format!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>"));
    put(format!("<text x=\"8\" y=\"18\" font-size=\"14\">{title}</text>"));
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        put(format!(
            "<path d=\"M{LEFT} {0:.1}H{1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{value:.1}</text>",
            y(value),
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(value) + 4.0
        ));
    }
    let mut marks: Vec<f64> = points().map(|(x, _)| *x).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    for mark in marks {
        put(format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>",
            x(mark),
            HEIGHT - BOTTOM + 16.0
        ));
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    put(format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{across}</text>", HEIGHT - 8.0));
    put(format!("<text x=\"8\" y=\"{}\">{up}</text>", TOP - 14.0));
    for (number, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let mut path = String::new();
        for (place, (at, spread)) in line.points.iter().enumerate() {
            let verb = if place == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(path, "{verb}{:.1} {:.1}", x(*at), y(spread.median));
            put(format!(
                "<path d=\"M{0:.1} {1:.1}V{2:.1}\" stroke=\"{colour}\"/>",
                x(*at),
                y(spread.min),
                y(spread.max)
            ));
        }
        put(format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        put(format!(
            "<text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            WIDTH - RIGHT + 8.0,
            TOP + 16.0 * number as f64,
            line.name
        ));
    }
    put("</svg>".to_owned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_lines_and_stays_inside() {
        let points = [(100.0, 4.0), (10_000.0, 5.0)]
            .map(|(at, value)| (at, Spread { median: value, min: value - 1.0, max: value + 1.0 }));
        let plot = svg("t", "x", "y", &[Line { name: "this server".into(), points: points.to_vec() }]);
        assert!(plot.contains("this server") && plot.contains(">10000<") && !plot.contains("NaN"));
    }
}
