//! What a server has done, in numbers, for Prometheus: `GET /metrics`.
//!
//! The numbers are those of [`shared::totals`], taken once for each page. So a page adds up: started is
//! finished, failed, cancelled and running together. A counter of its own for each number, changed
//! one after the other, would be read between two changes now and then.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Result, TEXT_FORMAT, TextEncoder};
use shared::calls::Calls;
use shared::note::Cause;
use shared::totals::Stops;

/// `GET /metrics`, to stand beside the MCP endpoint.
pub fn routes(calls: Calls) -> Router {
    Router::new().route("/metrics", get(async move || page(&calls)))
}

fn page(calls: &Calls) -> Response {
    match text(calls) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            (axum::http::StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

/// The page, in Prometheus' text format.
pub fn text(calls: &Calls) -> Result<String> {
    let totals = calls.totals();
    // All causes from the start: a graph of a counter that appears later misses its first step.
    let mut causes = Cause::ALL.map(|cause| (cause.name(), 0)).to_vec();
    causes.retain(|(cause, _)| !totals.cancelled.contains_key(cause));
    causes.extend(totals.cancelled);
    let mut families = vec![
        counter("mcp_calls_started_total", "Calls that have started.", totals.started),
        counter("mcp_calls_finished_total", "Calls that have finished.", totals.finished),
        counter(
            "mcp_calls_failed_total",
            "Calls that failed, panicked or were aborted.",
            totals.failed,
        ),
        family(
            "mcp_calls_cancelled_total",
            "Calls that stopped because they were told to, by cause.",
            MetricType::COUNTER,
            causes.into_iter().map(|(cause, count)| labelled("cause", cause, counted(count))),
        ),
        family(
            "mcp_calls_running",
            "Calls that run now.",
            MetricType::GAUGE,
            [Metric::from_gauge(gauge(totals.running))],
        ),
        family(
            "mcp_cancel_to_stop_seconds",
            "Seconds from the moment at which a call was told to stop to its end, however it ended.",
            MetricType::HISTOGRAM,
            [histogram(&totals.stops)],
        ),
    ];
    if let Some(tasks) = calls.tasks() {
        let tasks = tasks
            .into_iter()
            .map(|(state, count)| labelled("state", &state, Metric::from_gauge(gauge(count))));
        families.push(family(
            "mcp_tasks",
            "Tasks that the server keeps.",
            MetricType::GAUGE,
            tasks,
        ));
    }
    TextEncoder::new().encode_to_string(&families)
}

fn family(
    name: &str,
    help: &str,
    kind: MetricType,
    metrics: impl IntoIterator<Item = Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics.into_iter().collect());
    family
}

fn counter(name: &str, help: &str, count: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, [counted(count)])
}

fn counted(count: u64) -> Metric {
    let (mut counter, mut metric) = (Counter::default(), Metric::default());
    counter.set_value(count as f64);
    metric.set_counter(counter);
    metric
}

fn gauge(count: u64) -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(count as f64);
    gauge
}

fn histogram(stops: &Stops) -> Metric {
    let buckets = Stops::BOUNDS.iter().zip(stops.within).map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let (mut histogram, mut metric) = (Histogram::default(), Metric::default());
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(stops.count);
    histogram.set_sample_sum(stops.sum);
    metric.set_histogram(histogram);
    metric
}

fn labelled(name: &str, value: &str, mut metric: Metric) -> Metric {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    metric.set_label(vec![label]);
    metric
}
