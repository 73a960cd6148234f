//! Which path answers what.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::query::{self, FlowQuery, NameQuery, Pairs};
use super::{ExplainError, Names, Policies, Source, Status, Trouble, WorkloadRow, follow, metrics};

#[derive(Clone)]
struct Api {
    source: Arc<dyn Source>,
    draining: watch::Receiver<bool>,
    /// Explanations run modules: one at a time, whoever asks.
    explaining: Arc<Semaphore>,
}

/// All routes. Streams end once `draining` holds true.
pub(super) fn router(source: Arc<dyn Source>, draining: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/workloads", get(workloads))
        .route("/v1/names", get(names))
        .route("/v1/policies", get(policies))
        .route("/v1/flows", get(flows))
        .route("/v1/explain", get(explain))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .fallback(nowhere)
        .layer(from_fn(only_get))
        .with_state(Api { source, draining, explaining: Arc::new(Semaphore::new(1)) })
}

/// Metrics and health alone: for an address that others than root reach.
pub(super) fn public(source: Arc<dyn Source>, draining: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .fallback(nowhere_public)
        .layer(from_fn(only_get))
        .with_state(Api { source, draining, explaining: Arc::new(Semaphore::new(1)) })
}

type Answer<T> = Result<Json<T>, Trouble>;

async fn status(State(api): State<Api>, Query(pairs): Query<Pairs>) -> Answer<Status> {
    query::read_nothing(&pairs)?;
    Ok(Json(api.source.status()))
}

async fn workloads(State(api): State<Api>, Query(pairs): Query<Pairs>) -> Answer<Vec<WorkloadRow>> {
    query::read_nothing(&pairs)?;
    Ok(Json(api.source.workloads()))
}

async fn names(State(api): State<Api>, Query(pairs): Query<Pairs>) -> Answer<Names> {
    let NameQuery { workload, limit } = NameQuery::read(&pairs)?;
    Ok(Json(api.source.names(workload.as_ref(), limit)?))
}

async fn policies(State(api): State<Api>, Query(pairs): Query<Pairs>) -> Answer<Policies> {
    query::read_nothing(&pairs)?;
    Ok(Json(api.source.policies()))
}

async fn flows(State(api): State<Api>, Query(pairs): Query<Pairs>) -> Result<Response, Trouble> {
    let query = FlowQuery::read(&pairs)?;
    let body = follow::lines(api.source, query, api.draining);
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn explain(State(api): State<Api>, Query(pairs): Query<Pairs>) -> Answer<Value> {
    let (workload, destination) = query::read_explain(&pairs)?;
    let gone = |error: &dyn std::fmt::Display| ExplainError::Unavailable(format!("no explanation: {error}"));
    let turn = api.explaining.acquire_owned().await.map_err(|error| gone(&error))?;
    let explained = tokio::task::spawn_blocking(move || {
        let explained = api.source.explain(&workload, &destination);
        drop(turn);
        explained
    });
    Ok(Json(explained.await.map_err(|error| gone(&error))??))
}

async fn healthz() -> Json<Value> {
    Json(json!({"healthy": true}))
}

async fn readyz(State(api): State<Api>) -> Answer<Value> {
    api.source.ready()?;
    Ok(Json(json!({"ready": true})))
}

/// Takes any query: a scrape may carry parameters of its own.
async fn metrics_text(State(api): State<Api>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&*api.source)).into_response()
}

async fn nowhere(request: Request) -> Trouble {
    let error = format!("nothing is at `{}`", request.uri().path());
    let fix = "there are /v1/status, /v1/workloads, /v1/names, /v1/policies, /v1/flows, /v1/explain, /healthz, /readyz \
               and /metrics";
    Trouble::new(StatusCode::NOT_FOUND, error, Some(fix.to_owned()))
}

async fn nowhere_public(request: Request) -> Trouble {
    let error = format!("nothing is at `{}`", request.uri().path());
    Trouble::new(StatusCode::NOT_FOUND, error, Some("there are /healthz, /readyz and /metrics".to_owned()))
}

async fn only_get(request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let error = format!("the API only reads: it answers GET, not {}", request.method());
    let mut response = Trouble::new(StatusCode::METHOD_NOT_ALLOWED, error, None).into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}
