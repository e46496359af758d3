//! The console: the built page, where it was built.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use tower::ServiceBuilder;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;

/// Nothing from elsewhere and nothing inline; calls may go to other gateways.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self' https:; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Shown where no console was built.
const MISSING: &str = "<!doctype html><title>vdom</title><h1>vdom gateway</h1>\
    <p>The console is not built. Run <code>make web</code> in the checkout and start the gateway \
    there, or name the built folder in <code>web.console</code>.</p>\
    <p>REST: <a href=\"/v1/openapi.json\">/v1/openapi.json</a>, health: \
    <a href=\"/health/ready\">/health/ready</a>.</p>";

/// `/` and `/assets`, from `folder` or from where a build leaves it.
pub fn router(folder: Option<&Path>) -> Router {
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    let headers = ServiceBuilder::new()
        .layer(header(CONTENT_SECURITY_POLICY, POLICY))
        .layer(header(REFERRER_POLICY, "no-referrer"))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"));
    let Some(folder) = folder.map(PathBuf::from).or_else(built_folder) else {
        return Router::new().route("/", get(|| async { Html(MISSING) })).layer(headers);
    };
    // Names of assets change with their content; the page names them.
    let page = ServiceBuilder::new()
        .layer(header(CACHE_CONTROL, "no-cache"))
        .service(ServeFile::new(folder.join("index.html")));
    // The client as a module keeps its name, so that other pages can name it.
    let module = ServiceBuilder::new()
        .layer(header(CACHE_CONTROL, "no-cache"))
        .service(ServeFile::new(folder.join("assets/vdom-sdk.js")));
    let assets = ServiceBuilder::new()
        .layer(header(CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .service(ServeDir::new(folder.join("assets")));
    Router::new()
        .route_service("/", page)
        .route_service("/assets/vdom-sdk.js", module)
        .nest_service("/assets", assets)
        .layer(headers)
}

/// The checkout's build, or what is installed beside the program.
fn built_folder() -> Option<PathBuf> {
    let installed = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.join("share/vdom/console")));
    [Some(PathBuf::from("web/console/dist")), installed]
        .into_iter()
        .flatten()
        .find(|folder| folder.join("index.html").is_file())
}
