//! The numbers for people, and the medians of several rounds.

use std::fmt::Write as _;

use super::Bench;
use super::measure::{Cycles, Latency, Run, Spread, Storm};

/// The floor of a revision, in milliseconds. 2025-11-25: a POST to a bare handler, until it is
/// answered. 2026-07-28: a closed stream, until the bare handler's stream is dropped.
pub fn floor(run: &Run) -> Option<f64> {
    run.floor.answered.or(run.floor.tool).map(|spread| spread.p50)
}

/// How many times the floor it takes until the tool has ended.
pub fn times_floor(run: &Run) -> Option<f64> {
    Some(run.latency.tool?.p50 / floor(run)?)
}

/// By how much the cost of one call grows from the smallest storm to the largest.
pub fn growth(run: &Run) -> Option<f64> {
    let each = |storm: &Storm| Some(storm.last()? / storm.calls as f64);
    let (first, last) = (run.storms.first()?, run.storms.last()?);
    (first.calls < last.calls).then(|| Some(each(last)? / each(first)?))?
}

pub fn table(bench: &Bench) -> String {
    let mut text = format!(
        "{}; {}; {}\n",
        bench.machine,
        bench.date.get(..10).unwrap_or_default(),
        if bench.rounds == 1 {
            "one round".to_owned()
        } else {
            format!("medians of {} rounds", bench.rounds)
        },
    );
    let mut revisions: Vec<&str> = bench.runs.iter().map(|run| &*run.revision).collect();
    revisions.dedup();
    revisions.sort_unstable();
    revisions.dedup();
    for revision in revisions {
        let runs = || bench.runs.iter().filter(|run| run.revision == revision);
        let _ = writeln!(
            text,
            "\n{revision:31}│ until the tool has ended, ms    │ until its stream ends, ms│ start + cancel, /s\n\
             {:31}│   p50    p90    p99   × floor   │    p50     p90     p99  │     1    32 at once",
            "from a cancel's first byte"
        );
        for run in runs() {
            let name = format!("{} {}", run.server, run.version);
            let _ =
                write!(text, "{:31}│{}", short(&name, 30), spread(run.latency.tool.as_ref(), 7));
            let _ = write!(text, " {:>7}    │", number(times_floor(run), "×"));
            let _ = write!(text, "{}  │", spread(run.latency.stream.as_ref(), 8));
            for cycles in &run.cycles {
                let _ = write!(text, "{:>6.0}", cycles.per_second);
            }
            text.push('\n');
        }
        for run in runs().filter(|run| !run.stamped && run.latency.tool.is_some()) {
            let name = short(&run.server, 30);
            let _ =
                writeln!(text, "   {name} notes no times: its tools' ends are when they were seen");
        }
        if let Some(floor) = runs().next().and_then(floor) {
            let what = match revision {
                "2025-11-25" => "a POST to the bare handler, until it is answered",
                _ => "a closed stream, until the bare handler's is dropped",
            };
            let _ = writeln!(text, "   the floor: {what}, {floor:.3} ms");
        }
        if runs().any(|run| !run.storms.is_empty()) {
            let _ = writeln!(
                text,
                "\n{:31}│  all over   per call   memory per │ an unrelated request, ms\n\
                 {:31}│        ms         ms   call, KiB  │   before    slowest during",
                "a storm of calls, cancelled", "together"
            );
        }
        for run in runs() {
            for storm in &run.storms {
                let last = storm.last();
                let each = last.map(|last| last / storm.calls as f64);
                let name = format!("{}, {}", short(&run.server, 22), storm.calls);
                let memory = storm.bytes_per_call.map(|bytes| bytes / 1024.0);
                let _ = writeln!(
                    text,
                    "{name:31}│{:>10} {:>10} {:>11}  │{:>9.2} {:>12.2}",
                    number(last, ""),
                    each.map_or("-".to_owned(), |each| format!("{each:.3}")),
                    number(memory, ""),
                    storm.request_before,
                    storm.request_during
                );
                if let Some(why) = &storm.refused {
                    let _ = writeln!(text, "   no more: {}", crate::lane::plain(why));
                }
            }
            if let Some(growth) = growth(run) {
                let _ = writeln!(
                    text,
                    "   the largest costs {growth:.2}× as much per call as the smallest"
                );
            }
        }
    }
    for missing in &bench.missing {
        let _ = writeln!(text, "\nnot measured: {missing}");
    }
    text
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn number(value: Option<f64>, unit: &str) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 100.0 => format!("{value:.2}{unit}"),
        Some(value) => format!("{value:.0}{unit}"),
    }
}

fn spread(spread: Option<&Spread>, width: usize) -> String {
    let of = |value: Option<f64>| format!("{:>width$}", number(value, ""));
    let all = spread.map(|it| [it.p50, it.p90, it.p99]);
    (0..3).map(|place| of(all.map(|all| all[place]))).collect()
}

/// One run for each server and revision: the median of its rounds, number by number.
pub fn medians(runs: &[Run]) -> Vec<Run> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for run in runs {
        let key = (&*run.revision, &*run.server);
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    seen.sort_by_key(|(revision, _)| *revision);
    let of = |key: &(&str, &str)| {
        let same = |run: &&Run| (&*run.revision, &*run.server) == *key;
        middle(&runs.iter().filter(same).collect::<Vec<_>>())
    };
    seen.iter().map(of).collect()
}

fn middle(rounds: &[&Run]) -> Run {
    let mut run = rounds[0].clone();
    for other in &rounds[1..] {
        run.calls += other.calls;
    }
    let latency = |of: fn(&Run) -> &Latency| {
        let spread = |of_kind: fn(&Latency) -> Option<Spread>| {
            let all: Vec<_> = rounds.iter().filter_map(|run| of_kind(of(run))).collect();
            let value = |get: fn(&Spread) -> f64| median(all.iter().map(get));
            Some(Spread {
                count: all.iter().map(|spread| spread.count).sum(),
                p50: value(|it| it.p50)?,
                p90: value(|it| it.p90)?,
                p99: value(|it| it.p99)?,
            })
        };
        Latency {
            answered: spread(|it| it.answered),
            stream: spread(|it| it.stream),
            tool: spread(|it| it.tool),
        }
    };
    run.latency = latency(|run| &run.latency);
    run.floor = latency(|run| &run.floor);
    for (place, cycles) in run.cycles.iter_mut().enumerate() {
        let all = rounds.iter().filter_map(|run| run.cycles.get(place));
        *cycles = Cycles {
            per_second: median(all.map(|it| it.per_second)).unwrap_or_default(),
            ..*cycles
        };
    }
    for (place, storm) in run.storms.iter_mut().enumerate() {
        let all: Vec<_> = rounds.iter().filter_map(|run| run.storms.get(place)).collect();
        let value = |get: fn(&Storm) -> Option<f64>| median(all.iter().filter_map(|it| get(it)));
        storm.last_stream = value(|it| it.last_stream);
        storm.last_tool = value(|it| it.last_tool);
        storm.bytes_per_call = value(|it| it.bytes_per_call);
        storm.request_before = value(|it| Some(it.request_before)).unwrap_or_default();
        storm.request_during = value(|it| Some(it.request_during)).unwrap_or_default();
    }
    run
}

fn median(all: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(f64::total_cmp);
    let half = all.len() / 2;
    match all.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(all[half]),
        _ => Some(f64::midpoint(all[half - 1], all[half])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    }
}
