//! What the agent listener answers: the LLM gateway, the guest link, and 404 for everything else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;

use super::admin::not_found;
use crate::app::App;

/// Serves the agent listener.
#[derive(Debug, Clone)]
pub(crate) struct AgentService(pub(crate) App);

impl Service<Request<Incoming>> for AgentService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, _request: Request<Incoming>) -> Self::Future {
        let app = self.0.clone();
        Box::pin(async move { Ok(not_found(&app)) })
    }
}
