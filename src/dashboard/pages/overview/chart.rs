//! What was delivered and what failed over an hour, a day or a week, and what waited: for
//! the script as numbers, for everybody else as a picture and as a table of the same.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::inside::Trouble;
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{List, Node, NodeHealth, Statistics};
use crate::dashboard::words;
use crate::domain::Timestamp;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Rows of the table; of more stretches several become one row.
const ROWS_MAX: usize = 60;
/// Marks that are drawn, the newest.
const MARKS: usize = 40;
/// Marks that are said in words; the table says all of them.
const MARKS_SAID: usize = 5;
/// The picture: how wide a stretch is and its bar, how high the bars' part is, and where
/// what waited begins and ends.
const STRETCH: i64 = 10;
const BAR: i64 = 8;
const BARS: u64 = 120;
const WAITED: (u64, u64) = (132, 180);

/// How far back it goes, and in which stretches.
struct Span {
    name: &'static str,
    stretches: i64,
    stretch_ms: i64,
    resolution: &'static str,
    unit: &'static str,
}

const SPANS: [Span; 3] = [
    Span { name: "1h", stretches: 60, stretch_ms: MINUTE_MS, resolution: "minute", unit: "each minute" },
    Span { name: "24h", stretches: 24, stretch_ms: HOUR_MS, resolution: "hour", unit: "each hour" },
    Span { name: "7d", stretches: 84, stretch_ms: 2 * HOUR_MS, resolution: "hour", unit: "two hours" },
];

fn span(visitor: &Visitor) -> &'static Span {
    let wanted = visitor.query.get("span").unwrap_or_default();
    SPANS.iter().find(|span| span.name == wanted).unwrap_or(&SPANS[0])
}

/// What it shows, stretch by stretch.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chart {
    /// When the first stretch begins, and how long each is.
    from_ms: i64,
    stretch_ms: i64,
    delivered: Vec<u64>,
    failed: Vec<u64>,
    /// Of this node; `None` where nobody looked.
    waited: Vec<Option<u64>>,
    /// What happened to nodes, and when.
    marks: Vec<(Timestamp, String)>,
}

/// Its name, and how far back it goes: links.
pub fn heading(visitor: &Visitor) -> Markup {
    let chosen = span(visitor);
    // Partners see another page first.
    let path = if visitor.is_partner() { "/figures" } else { "" };
    html! {
        div.head {
            h2 { "Delivered and failed" }
            nav.switch aria-label="How far back" {
                @for span in &SPANS {
                    @let parameters: &[(&str, &str)] = if span.name == SPANS[0].name { &[] } else { &[("span", span.name)] };
                    a href=(visitor.to(path, parameters)) aria-current=[(span.name == chosen.name).then_some("true")] {
                        (span.name.replace('h', " h").replace('d', " d"))
                    }
                }
            }
        }
    }
}

/// The live part; nothing for whoever sees no statistics.
pub async fn part(visitor: &Visitor) -> Option<Markup> {
    if !visitor.may(Permission::ReadStatistics) {
        return None;
    }
    let span = span(visitor);
    Some(match read(visitor, span).await {
        Ok(chart) => drawn(&chart, span, visitor),
        Err(trouble) => html! { figure #chart .chart data-chart="0 60|||" { (answers::part(&trouble)) } },
    })
}

async fn read(visitor: &Visitor, span: &Span) -> Result<Chart, Trouble> {
    let last = visitor.now.as_millis().div_euclid(span.stretch_ms) * span.stretch_ms;
    let from_ms = last - (span.stretches - 1) * span.stretch_ms;
    let since = Timestamp::from_millis(from_ms);
    let (from, until) = (since.to_string(), visitor.now.to_string());
    let asked = [("since", from.as_str()), ("until", until.as_str()), ("resolution", span.resolution)];
    let found: Statistics = visitor.get("/stats", About::These, &asked).await?;
    let count = usize::try_from(span.stretches).unwrap_or_default();
    let mut chart = Chart {
        from_ms,
        stretch_ms: span.stretch_ms,
        delivered: vec![0; count],
        failed: vec![0; count],
        waited: vec![None; count],
        marks: Vec::new(),
    };
    let place = |at_ms: i64| usize::try_from((at_ms - from_ms).div_euclid(span.stretch_ms)).ok();
    for bucket in found.data.iter().flat_map(|series| &series.buckets) {
        if let Some(at) = place(bucket.at.0.as_millis()).filter(|at| *at < count) {
            chart.delivered[at] += bucket.counts.delivered;
            chart.failed[at] += bucket.counts.failed;
        }
    }
    if visitor.is_operator() && visitor.partner().is_none() {
        let watch = &visitor.api.watch;
        // What waits here is of both environments.
        let is_told = super::shows_figures(visitor);
        for (at, most) in watch.waited(since, span.stretch_ms).into_iter().filter(|_| is_told) {
            if let Some(at) = place(at).filter(|at| *at < count) {
                chart.waited[at] = Some(most);
            }
        }
        let (nodes, told) =
            join(visitor.get::<List<Node>>("/nodes", About::Nobody, &[]), visitor.dashboard.nodes.now(visitor)).await;
        // Without them it is the same chart.
        let nodes = nodes.map_or(Vec::new(), |nodes| nodes.data);
        let told = told.as_deref().map_or(&[][..], Vec::as_slice);
        chart.marks = marks(&nodes, told, since, span.stretch_ms);
    }
    Ok(chart)
}

/// When nodes started, as far as they live, and what each took over: as one where that
/// happened within a stretch. The newest of them, in their order.
fn marks(nodes: &[Node], told: &[NodeHealth], since: Timestamp, stretch_ms: i64) -> Vec<(Timestamp, String)> {
    let name = |id: &str| words::short(id);
    let mut marks: Vec<(Timestamp, String)> =
        nodes.iter().map(|node| (node.since.0, format!("{} started", name(&node.id)))).collect();
    for node in told {
        // Oldest first.
        let mut taken: Vec<(Timestamp, u64)> = Vec::new();
        for moved in node.moves.iter().rev().filter(|moved| moved.what == "taken") {
            let stretch = |at: Timestamp| at.as_millis().div_euclid(stretch_ms);
            match taken.last_mut().filter(|(at, _)| stretch(*at) == stretch(moved.at.0)) {
                Some((_, partitions)) => *partitions += moved.partitions,
                None => taken.push((moved.at.0, moved.partitions)),
            }
        }
        let took = |count| format!("{} took {}", name(&node.id), words::of(count, "partition"));
        marks.extend(taken.into_iter().map(|(at, count)| (at, took(count))));
    }
    marks.retain(|(at, _)| *at >= since);
    marks.sort();
    let more = marks.len().saturating_sub(MARKS);
    marks.drain(..more);
    marks
}

impl Chart {
    /// As the script reads it: when it begins and how long a stretch is, in seconds; then
    /// what was delivered, what failed, and what waited.
    fn numbers(&self) -> String {
        let list = |all: &[u64]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let waited: Vec<String> =
            self.waited.iter().map(|most| most.map_or(String::new(), |most| most.to_string())).collect();
        format!(
            "{} {}|{}|{}|{}",
            self.from_ms / 1_000,
            self.stretch_ms / 1_000,
            list(&self.delivered),
            list(&self.failed),
            waited.join(",")
        )
    }

    fn moments(&self) -> String {
        self.marks.iter().map(|(at, _)| (at.as_millis() / 1_000).to_string()).collect::<Vec<_>>().join(",")
    }

    /// The bars above zero and those below, as paths, and how low zero is.
    fn bars(&self) -> (String, String, u64) {
        let most = |all: &[u64]| all.iter().copied().max().unwrap_or(0);
        let (up, down) = (most(&self.delivered), most(&self.failed));
        let all = (up + down).max(1);
        let zero = BARS * up / all;
        // What is more than nothing can be seen.
        let height = |count: u64| (count * BARS / all).max(1);
        let (mut above, mut below) = (String::new(), String::new());
        for (at, (delivered, failed)) in self.delivered.iter().zip(&self.failed).enumerate() {
            let left = at as i64 * STRETCH + 1;
            if *delivered > 0 {
                let height = height(*delivered);
                let _ = write!(above, "M{left} {zero}v-{height}h{BAR}v{height}z");
            }
            if *failed > 0 {
                let height = height(*failed);
                let _ = write!(below, "M{left} {zero}v{height}h{BAR}v-{height}z");
            }
        }
        (above, below, zero)
    }

    /// What waited, as a path.
    fn line(&self) -> String {
        let most = self.waited.iter().flatten().copied().max().unwrap_or(0).max(1);
        let mut line = String::new();
        let mut is_drawn = false;
        for (at, waited) in self.waited.iter().enumerate() {
            let Some(waited) = waited else {
                is_drawn = false;
                continue;
            };
            let (left, top) = (at as i64 * STRETCH, WAITED.1 - waited * (WAITED.1 - WAITED.0) / most);
            let verb = if std::mem::replace(&mut is_drawn, true) { 'L' } else { 'M' };
            let _ = write!(line, "{verb}{left} {top}h{STRETCH}");
        }
        line
    }

    /// What happened to nodes in so many milliseconds.
    fn happened(&self, from_ms: i64, long_ms: i64) -> String {
        let within = |at: Timestamp| (from_ms..from_ms + long_ms).contains(&at.as_millis());
        let all: Vec<&str> = self.marks.iter().filter(|(at, _)| within(*at)).map(|(_, what)| what.as_str()).collect();
        all.join("; ")
    }

    /// Where a time is in the picture.
    fn left_of(&self, at: Timestamp) -> i64 {
        (at.as_millis() - self.from_ms) * STRETCH / self.stretch_ms.max(1)
    }
}

fn drawn(chart: &Chart, span: &Span, visitor: &Visitor) -> Markup {
    let (above, below, zero) = chart.bars();
    let line = chart.line();
    let width = span.stretches * STRETCH;
    let most = |all: &[u64]| words::count(all.iter().copied().max().unwrap_or(0));
    let waited = chart.waited.iter().flatten().copied().max();
    html! {
        figure #chart .chart data-chart=(chart.numbers()) data-marks=(chart.moments()) {
            svg viewBox={ "0 0 " (width) " " (WAITED.1) } preserveAspectRatio="none" role="img" aria-label="Delivered above the line, failed attempts below it; the table has the numbers" {
                path.up d=(above) {}
                path.down d=(below) {}
                path.axis d={ "M0 " (zero) "h" (width) } {}
                @if !line.is_empty() { path.wait d=(line) {} }
                @for (at, what) in &chart.marks {
                    path.mark d={ "M" (chart.left_of(*at)) " 0v" (WAITED.1) } { title { (what) } }
                }
            }
            figcaption.small.muted {
                @if visitor.is_partner() { "A bar for " } @else { "All nodes, a bar for " }
                (span.unit) ". Above: delivered, most " (most(&chart.delivered))
                ". Below: failed attempts, most " (most(&chart.failed)) "."
                @if let Some(waited) = waited { " Beneath: what waited in this node's memory, most " (words::count(waited)) "." }
                @if !chart.marks.is_empty() {
                    " Dashed: "
                    @for (at, (when, what)) in chart.marks.iter().rev().take(MARKS_SAID).enumerate() {
                        @if at > 0 { "; " }
                        (what) " " (words::time(*when, visitor.now))
                    }
                    "."
                }
            }
            details { summary { "As a table" } div.list { (table(chart)) } }
        }
    }
}

/// When a row begins, what was delivered, what failed, how much waited; what happened to nodes.
type Row = ((i64, u64, u64, Option<u64>), String);

/// A time to the minute.
fn minute(at_ms: i64) -> String {
    let text = words::absolute(Timestamp::from_millis(at_ms));
    format!("{} UTC", text.get(..16).unwrap_or(&text))
}

fn table(chart: &Chart) -> Markup {
    let together = chart.delivered.len().div_ceil(ROWS_MAX).max(1);
    let rows: Vec<Row> = (0..chart.delivered.len())
        .step_by(together)
        .map(|first| {
            let range = first..(first + together).min(chart.delivered.len());
            (
                chart.from_ms + first as i64 * chart.stretch_ms,
                chart.delivered[range.clone()].iter().sum(),
                chart.failed[range.clone()].iter().sum(),
                chart.waited[range].iter().flatten().copied().max(),
            )
        })
        .map(|row| (row, chart.happened(row.0, chart.stretch_ms * together as i64)))
        .filter(|((_, delivered, failed, waited), happened)| {
            delivered + failed + waited.unwrap_or(0) > 0 || !happened.is_empty()
        })
        .collect();
    let has_marks = !chart.marks.is_empty();
    let has_waited = chart.waited.iter().any(Option::is_some);
    let stretch = words::span(Duration::from_millis((chart.stretch_ms * together as i64).unsigned_abs()));
    html! {
        table {
            caption { "The newest first, " (stretch) " a row. Where nothing happened there is none." }
            thead { tr { th scope="col" { "From" } th.num scope="col" { "Delivered" } th.num scope="col" { "Failed" } @if has_waited { th.num scope="col" { "Most waiting" } } @if has_marks { th scope="col" { "Nodes" } } } }
            tbody {
                @for ((at, delivered, failed, waited), happened) in rows.iter().rev() {
                    tr {
                        td.nowrap { (minute(*at)) }
                        td.num { (words::count(*delivered)) }
                        td.num { (words::count(*failed)) }
                        @if has_waited { td.num { @if let Some(waited) = waited { (words::count(*waited)) } } }
                        @if has_marks { td.line2 { (happened) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dashboard::wire::{At, PartitionsMoved};

    fn chart(delivered: Vec<u64>, failed: Vec<u64>, waited: Vec<Option<u64>>) -> Chart {
        Chart { from_ms: 0, stretch_ms: MINUTE_MS, delivered, failed, waited, marks: Vec::new() }
    }

    #[test]
    fn the_script_reads_what_there_is() {
        let mut chart = chart(vec![3, 0], vec![0, 2], vec![None, Some(7)]);
        chart.marks.push((Timestamp::from_millis(61_000), "started".into()));
        assert_eq!(chart.numbers(), "0 60|3,0|0,2|,7");
        assert_eq!(chart.moments(), "61");
        assert_eq!(chart.left_of(Timestamp::from_millis(90_000)), 15);
    }

    /// Of every node, also of one that does not answer; and what went bit by bit is one.
    #[test]
    fn all_nodes_starts_and_takeovers_are_marked() {
        let at = |seconds: i64| At(Timestamp::from_millis(seconds * 1_000));
        let node = |id: &str, since| Node {
            id: id.to_owned(),
            address: None,
            version: String::new(),
            since: at(since),
            partitions: 128,
            in_flight: 0,
            held: false,
            lease_until: None,
        };
        let moved =
            |seconds, what: &str, partitions| PartitionsMoved { at: at(seconds), what: what.to_owned(), partitions };
        let told = |id: &str, moves| NodeHealth {
            id: id.to_owned(),
            reachable: true,
            memory_bytes: None,
            commits: None,
            commit_p99_ms: None,
            moves,
            just_now: None,
        };
        let newest_first =
            vec![moved(130, "taken", 64), moved(121, "taken", 1), moved(70, "lost", 9), moved(5, "taken", 3)];
        let nodes = [node("one", 1), node("two", 65)];
        let said = |since: i64| {
            let told = [told("one", newest_first.clone()), told("two", Vec::new())];
            let marks = marks(&nodes, &told, Timestamp::from_millis(since * 1_000), MINUTE_MS);
            marks.into_iter().map(|(at, what)| format!("{} {what}", at.as_millis() / 1_000)).collect::<Vec<_>>()
        };
        assert_eq!(
            said(0),
            ["1 one started", "5 one took 3 partitions", "65 two started", "121 one took 65 partitions"]
        );
        assert_eq!(said(100), ["121 one took 65 partitions"]);
        let many: Vec<PartitionsMoved> = (0..99).rev().map(|minute| moved(minute * 60, "taken", 1)).collect();
        let marks = marks(&[], &[told("one", many)], Timestamp::from_millis(0), MINUTE_MS);
        assert_eq!((marks.len(), marks[MARKS - 1].0), (MARKS, at(98 * 60).0), "the newest are drawn");

        let mut chart = chart(vec![0, 0, 3], vec![0, 0, 0], vec![None; 3]);
        chart.marks = vec![(at(61).0, "one started".to_owned()), (at(62).0, "two started".to_owned())];
        let table = table(&chart).into_string();
        assert!(table.contains("one started; two started"), "also where nothing else happened: {table}");
        assert_eq!(table.matches("<tr>").count(), 3, "{table}");
    }

    #[test]
    fn bars_stand_on_one_line_and_keep_their_proportions() {
        let (above, below, zero) = chart(vec![30, 10], vec![0, 10], vec![None, None]).bars();
        assert_eq!(zero, 90);
        assert_eq!(above, "M1 90v-90h8v90zM11 90v-30h8v30z");
        assert_eq!(below, "M11 90v30h8v-30z");
        assert_eq!(chart(vec![0], vec![0], vec![None]).bars(), (String::new(), String::new(), 0));
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_picture(
            counts in prop::collection::vec((0..1_000_000_u64, 0..1_000_000_u64, prop::option::of(0..1_000_000_u64)), 1..170),
        ) {
            let chart = chart(
                counts.iter().map(|(delivered, ..)| *delivered).collect(),
                counts.iter().map(|(_, failed, _)| *failed).collect(),
                counts.iter().map(|(.., waited)| *waited).collect(),
            );
            let (above, below, zero) = chart.bars();
            let heights = |path: &str| {
                path.split('v').skip(1).step_by(2).map(|text| text.split('h').next().unwrap_or_default().trim_start_matches('-').parse::<u64>().expect("a height")).max()
            };
            prop_assert!(heights(&above).unwrap_or(0) <= zero.max(1));
            prop_assert!(zero + heights(&below).unwrap_or(0) <= BARS + 1);
            for point in chart.line().split(['M', 'L']).filter(|text| !text.is_empty()) {
                let top: u64 = point.split([' ', 'h']).nth(1).expect("a top").parse().expect("a number");
                prop_assert!((WAITED.0..=WAITED.1).contains(&top));
            }
        }
    }
}
