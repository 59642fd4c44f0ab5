//! What the admin listener answers: objects by their host, path or signature, the API at `/`, health and metrics, and 404
//! for everything else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use creel_wire::error::ErrorCode;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;

use crate::app::App;
use crate::cluster::{self, Cluster};
use crate::config::Role;
use crate::{http as server_http, objects, rpc};

/// How long `/readyz` waits for the database.
const READY_DEADLINE: Duration = Duration::from_secs(2);
/// Content type that Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the admin listener.
#[derive(Debug, Clone)]
pub(crate) struct AdminService {
    pub(crate) app: App,
    /// Where other processes can share the database.
    pub(crate) cluster: Option<Cluster>,
}

impl Service<Request<Incoming>> for AdminService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let app = self.app.clone();
        if let Some(cluster) = &self.cluster
            && request.uri().path() == cluster::PATH
        {
            let answer = cluster.accept(request);
            return Box::pin(async move { Ok(answer) });
        }
        Box::pin(async move { Ok(route(&app, request).await) })
    }
}

async fn route(app: &App, request: Request<Incoming>) -> Response<Body> {
    if app.config.has_role(Role::Api) && objects::is_object_request(&request) {
        return objects::answer(app, request).await;
    }
    match (request.method(), request.uri().path()) {
        (_, "/") if app.config.has_role(Role::Api) => rpc::answer(app, request).await,
        (&Method::GET, "/healthz") => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET, "/readyz") => ready(app).await,
        (&Method::GET, "/metrics") => match app.metrics.encode() {
            Ok(metrics) => text(StatusCode::OK, OPEN_METRICS, metrics),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new()),
        },
        _ => not_found(app),
    }
}

/// 404 in the API's form.
pub(super) fn not_found(app: &App) -> Response<Body> {
    let request_id = app.ids.request_id();
    let message = "Nothing is at this path. The API is at /.";
    let ErrorCode(code, status) = ErrorCode::PATH_NOT_FOUND;
    let body = server_http::error_body(&request_id, "", code, message);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(server_http::JSON));
    response
}

/// Ready means that a request could be served: the database answers.
async fn ready(app: &App) -> Response<Body> {
    match tokio::time::timeout(READY_DEADLINE, app.accounts.find_by_name(crate::serve::ROOT_ACCOUNT)).await {
        Ok(Ok(_)) => text(StatusCode::OK, "text/plain", "ready\n".to_owned()),
        _ => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the database does not answer\n".to_owned()),
    }
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
