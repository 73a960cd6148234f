//! Ratios as bars: one SVG for each case.

use std::fmt::Write as _;

use crate::report::{Group, Row, Target, number};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 270.0;
const LINE: f64 = 34.0;
const TOP: f64 = 56.0;

/// The rows of a case that are ratios, as bars on a scale from 0; a mark where each should end.
pub fn bars(group: &Group) -> String {
    let rows: Vec<_> = group.rows.iter().filter_map(|row| row.ratio.map(|ratio| (row, ratio))).collect();
    let scale = rows.iter().map(|(row, ratio)| ratio.max(limit(row).unwrap_or(1.0))).fold(1.0, f64::max);
    let height = TOP + LINE * rows.len() as f64 + 16.0;
    let x = |ratio: f64| LEFT + (WIDTH - LEFT - 90.0) * ratio / scale;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"42\" fill=\"#666\">ratio to what it is held against; the mark is the target</text>\n",
        escaped(group.title)
    );
    for (at, (row, ratio)) in rows.iter().enumerate() {
        let y = TOP + LINE * at as f64;
        let colour = match row.met() {
            Some(true) => "#2a9d5c",
            Some(false) => "#d1495b",
            None => "#8d99ae",
        };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\" \
             font-size=\"10\" fill=\"#666\">against {}</text>\n<rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"18\" \
             fill=\"{colour}\"/>\n<text x=\"{:.1}\" y=\"{}\">{}</text>",
            LEFT - 8.0,
            y + 12.0,
            escaped(&row.what),
            LEFT - 8.0,
            y + 25.0,
            escaped(&row.against),
            y + 2.0,
            x(*ratio) - LEFT,
            x(ratio.max(limit(row).unwrap_or(0.0))) + 6.0,
            y + 16.0,
            number(*ratio)
        );
        if let Some(limit) = limit(row) {
            let _ = writeln!(
                out,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#222\" stroke-width=\"2\"/>",
                x(limit),
                y - 1.0,
                y + 23.0
            );
        }
    }
    out + "</svg>\n"
}

fn limit(row: &Row) -> Option<f64> {
    row.target.map(|target| match target {
        Target::AtMost(limit) | Target::AtLeast(limit) => limit,
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ratio_has_a_bar_and_every_target_a_mark() {
        let rows = vec![
            Row::ratio("a < b", 3.0, "ns", "c & d", 2.0).wanted(Target::AtMost(1.0)),
            Row::ratio("free", 1.0, "ns", "e", 2.0),
            Row::alone("no ratio", 1.0, "MB"),
        ];
        let plot = bars(&Group { case: "case", title: "title", rows });
        assert_eq!(plot.matches("height=\"18\"").count(), 2, "{plot}");
        assert_eq!(plot.matches("<line").count(), 1, "{plot}");
        assert!(plot.contains("a &lt; b") && plot.contains("c &amp; d"), "{plot}");
    }
}
