//! Whether a request came under a loopback name.
//!
//! A browser sends the name it dialled as `Host`. A page of `evil.example` whose name was re-pointed at 127.0.0.1
//! still says `evil.example`, and is refused here.

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{StatusCode, Uri, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Trouble;

/// Passes on only what was asked of a loopback name.
pub(super) async fn only_loopback(request: Request, next: Next) -> Response {
    let header = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if is_loopback(header) && names_no_other(request.uri()) {
        return next.run(request).await;
    }
    let error = format!("the API answers only to loopback names, and this request is for `{header}`");
    let fix = Some("use http://127.0.0.1, http://[::1] or http://localhost".to_owned());
    Trouble::new(StatusCode::FORBIDDEN, error, fix).into_response()
}

/// The target of a request may carry a host of its own, which then counts too.
fn names_no_other(target: &Uri) -> bool {
    target.authority().is_none_or(|authority| is_loopback(authority.as_str()))
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_host_are_loopback() {
        for (host, expected) in [
            ("127.0.0.1:9400", true),
            ("127.8.8.8", true),
            ("[::1]:9400", true),
            ("[::1]", true),
            ("localhost:9400", true),
            ("LocalHost", true),
            ("", false),
            ("evil.example:9400", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("evil.example@127.0.0.1", false),
            ("10.0.0.1:9400", false),
            ("0.0.0.0", false),
            ("[::]:9400", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
