//! Charts as SVG. Colours are CSS classes `c0`, `c1` and so on, so that the page decides on them.

use std::fmt::Write as _;

use super::spread::{Spread, number};

/// Of every chart, in SVG's units.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 210.0;

/// The room for names and numbers at the sides.
const LEFT: f64 = 50.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// A target's values in a chart.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    /// The number of its colour.
    pub(super) colour: usize,
    pub(super) points: Vec<(f64, f64)>,
}

/// One bar.
pub(super) struct Bar<'a> {
    pub(super) name: &'a str,
    pub(super) colour: usize,
    pub(super) value: Spread,
}

/// How values become places on an axis.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    Linear(f64, f64),
    Logarithmic(f64, f64),
}

impl Scale {
    /// From 0 to a little above the highest.
    pub(super) fn from_zero(highest: f64) -> Self {
        Self::Linear(0.0, if highest > 0.0 { highest * 1.05 } else { 1.0 })
    }

    /// Whole powers of ten around all values.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let spread = Spread::of(values.filter(|value| *value > 0.0));
        let (low, high) = spread.map_or((1.0, 10.0), |spread| (spread.min, spread.max));
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        Self::Logarithmic(10_f64.powf(low), 10_f64.powf(high.max(low + 1.0)))
    }

    /// From 0 at the low end to 1 at the high one.
    fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear(low, high) => (value - low) / (high - low),
            Self::Logarithmic(low, high) => {
                (value.max(low).log10() - low.log10()) / (high.log10() - low.log10())
            }
        };
        place.clamp(0.0, 1.0)
    }

    fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear(low, high) => {
                let step = nice((high - low) / 4.0);
                let count = ((high - low) / step) as u32;
                (0..=count)
                    .map(|index| low + f64::from(index) * step)
                    .collect()
            }
            Self::Logarithmic(low, high) => {
                let count = (high / low).log10().round() as i32;
                (0..=count).map(|power| low * 10_f64.powi(power)).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20 and so on.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= step);
    factor.unwrap_or(10.0) * power
}

/// Bars from left to right, longest value at the edge, with whiskers from the least to the most.
pub(super) fn bars(title: &str, bars: &[Bar<'_>]) -> String {
    const STEP: f64 = 24.0;
    const NAMES: f64 = 96.0;
    const VALUES: f64 = 64.0;
    let height = STEP * bars.len() as f64 + 6.0;
    let highest = bars.iter().map(|bar| bar.value.max).fold(0.0, f64::max);
    let scale = Scale::from_zero(highest);
    let x = |value: f64| NAMES + scale.place(value) * (WIDTH - NAMES - VALUES);
    let mut svg = open(title, height);
    for (index, bar) in bars.iter().enumerate() {
        let y = STEP * index as f64 + 6.0;
        let (middle, text_y) = (y + 7.0, y + 11.0);
        let (end, low, high) = (x(bar.value.median), x(bar.value.min), x(bar.value.max));
        let value = number(bar.value.median);
        let width = (end - NAMES).max(1.0);
        write!(
            svg,
            r#"<text x="{:.1}" y="{text_y:.1}" text-anchor="end">{}</text><rect class="c{} bar" x="{NAMES}" y="{y:.1}" width="{width:.1}" height="14" rx="2"><title>{} {}</title></rect><path class="whisker" d="M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v6M{high:.1} {:.1}v6"/><text x="{:.1}" y="{text_y:.1}">{value}</text>"#,
            NAMES - 6.0,
            escape(bar.name),
            bar.colour,
            escape(bar.name),
            bar.value,
            middle - 3.0,
            middle - 3.0,
            high.max(end) + 6.0,
        )
        .unwrap_or(());
    }
    svg.push_str("</svg>");
    svg
}

/// Lines over a common axis; `labels` names places on it.
pub(super) fn lines(
    title: &str,
    series: &[Series<'_>],
    across: Scale,
    up: Scale,
    labels: &[(f64, String)],
) -> String {
    let x = |value: f64| LEFT + across.place(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - up.place(value) * (HEIGHT - BOTTOM - TOP);
    let mut svg = open(title, HEIGHT);
    for tick in up.ticks() {
        let place = y(tick);
        write!(
            svg,
            r#"<path class="grid" d="M{LEFT} {place:.1}H{:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            LEFT - 5.0,
            place + 4.0,
            number(tick)
        )
        .unwrap_or(());
    }
    for (value, label) in labels {
        let place = x(*value);
        write!(
            svg,
            r#"<path class="grid" d="M{place:.1} {TOP}V{:.1}"/><text x="{place:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            HEIGHT - BOTTOM,
            HEIGHT - 8.0,
            escape(label)
        )
        .unwrap_or(());
    }
    for one in series {
        let mut path = String::new();
        for (index, (across, up)) in one.points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            write!(path, "{command}{:.1} {:.1}", x(*across), y(*up)).unwrap_or(());
        }
        write!(
            svg,
            r#"<path class="c{} line" d="{path}"><title>{}</title></path>"#,
            one.colour,
            escape(one.name)
        )
        .unwrap_or(());
    }
    svg.push_str("</svg>");
    svg
}

fn open(title: &str, height: f64) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{}">"#,
        escape(title)
    )
}

/// Text that may stand in HTML, also in an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_place_their_ends_and_never_leave_the_chart() {
        let linear = Scale::Linear(0.0, 200.0);
        assert_eq!(
            (linear.place(0.0), linear.place(100.0), linear.place(900.0)),
            (0.0, 0.5, 1.0)
        );
        let decades = Scale::decades([30.0, 4_000.0, 0.0].into_iter());
        assert_eq!(decades.ticks(), [10.0, 100.0, 1_000.0, 10_000.0]);
        assert!((decades.place(100.0) - 1.0 / 3.0).abs() < 1e-9);
        assert!(decades.place(0.0).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(Scale::Linear(0.0, 100.0).ticks(), [0.0, 50.0, 100.0]);
        assert_eq!(Scale::Linear(0.0, 7.0).ticks(), [0.0, 2.0, 4.0, 6.0]);
    }

    #[test]
    fn what_comes_from_elsewhere_cannot_end_an_attribute() {
        assert_eq!(
            escape("<a href='x'>\"&"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;"
        );
    }
}
