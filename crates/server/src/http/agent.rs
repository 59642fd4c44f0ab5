//! What the agent listener answers: the LLM gateway under `/v1/`, guests under `/guest/`, and 404 for everything else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use tower::ServiceExt;

use super::admin::not_found;
use crate::app::App;
use crate::gateway::Gateway;
use crate::llm_access::LedgerBilling;

/// Serves the agent listener.
#[derive(Debug, Clone)]
pub(crate) struct AgentService {
    pub(crate) app: App,
    pub(crate) gateway: Arc<Gateway<LedgerBilling>>,
    pub(crate) guests: Router,
}

impl Service<Request<Incoming>> for AgentService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with("/v1/") {
            let gateway = self.gateway.clone();
            return Box::pin(gateway.handle(request).map(|response| Ok(response.map(Body::new))));
        }
        if request.uri().path().starts_with("/guest/") {
            return Box::pin(self.guests.clone().oneshot(request.map(Body::new)));
        }
        let app = self.app.clone();
        Box::pin(async move { Ok(not_found(&app)) })
    }
}
