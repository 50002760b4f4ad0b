//! The same metrics by OTLP over HTTP, in its JSON encoding (OpenTelemetry Protocol 1.x, "OTLP/HTTP" and "JSON Protobuf
//! Encoding"), as an OpenTelemetry Collector takes them. Plain JSON and the client that is here anyway: no crate of its own.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::metrics::{Exposition, Sample};
use crate::operate::http::{self, Request};
use crate::pg::Secret;

/// The path of metrics below an endpoint.
const PATH: &str = "/v1/metrics";

/// Sends the metrics of this host to an endpoint, which may be given with or without its path; `authorization`: the value of that
/// header.
///
/// # Errors
/// In words, without the URL; also when the receiver refused some of the values.
pub async fn send_otlp(
    url: &Secret,
    authorization: Option<&Secret>,
    instance: &str,
    told: &Exposition,
    at: Timestamp,
) -> Result<(), String> {
    let base = url.expose().trim_end_matches('/');
    let url = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
    let request = Request::post_json(url, &request(instance, told, at), authorization.map(Secret::expose));
    refused(&http::ask(&request).await?)
}

fn request(instance: &str, told: &Exposition, at: Timestamp) -> Value {
    // Whole numbers of 64 bits are texts in JSON.
    let time = at.as_nanosecond().to_string();
    let point = |sample: &Sample| {
        let attributes: Vec<Value> =
            sample.labels.iter().map(|(name, value)| attribute(name, value)).collect();
        json!({"timeUnixNano": time, "asDouble": sample.value, "attributes": attributes})
    };
    let metrics: Vec<Value> = told
        .families()
        .map(|(name, help, samples)| {
            let points: Vec<Value> = samples.iter().map(point).collect();
            json!({"name": name, "description": help, "unit": unit(name), "gauge": {"dataPoints": points}})
        })
        .collect();
    let resource = [
        attribute("service.name", "pgcask"),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
        attribute("service.instance.id", instance),
        attribute("host.name", instance),
    ];
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{
            "scope": {"name": "pgcask", "version": env!("CARGO_PKG_VERSION")},
            "metrics": metrics,
        }],
    }]})
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// The unit by UCUM, which OTLP asks for, of a name that ends in the unit as Prometheus asks for it.
fn unit(name: &str) -> &'static str {
    let ends = [("_bytes_per_second", "By/s"), ("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1")];
    ends.into_iter().find(|(end, _)| name.ends_with(end)).map_or("1", |(_, unit)| unit)
}

/// A receiver may take a part only, and says so in its answer.
fn refused(answer: &str) -> Result<(), String> {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let partial = answer.get("partialSuccess");
    let of = |key: &str| partial.and_then(|partial| partial.get(key));
    let count =
        of("rejectedDataPoints").map(|count| count.as_str().map_or_else(|| count.to_string(), str::to_owned));
    match count.filter(|count| count != "0") {
        Some(count) => {
            let why = of("errorMessage").and_then(Value::as_str).unwrap_or("it does not say why");
            Err(format!("{count} values were refused: {why}"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_the_names() {
        let names =
            ["a_timestamp_seconds", "a_rate_bytes_per_second", "a_size_bytes", "a_pass_ratio", "a_rows"];
        assert_eq!(names.map(unit), ["s", "By/s", "By", "1", "1"]);
    }

    #[test]
    fn a_part_that_was_refused_is_told() {
        for good in
            ["", "ok", "{}", r#"{"partialSuccess":{}}"#, r#"{"partialSuccess":{"rejectedDataPoints":"0"}}"#]
        {
            assert_eq!(refused(good), Ok(()), "{good}");
        }
        let some = r#"{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}"#;
        assert_eq!(refused(some), Err("3 values were refused: too old".to_owned()));
    }
}
