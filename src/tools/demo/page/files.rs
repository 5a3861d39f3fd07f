//! The static files of a page, which are part of the binary.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

/// Path, media type and text of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("files/index.html")),
    // The colours are those of the dashboard.
    (
        "/page.css",
        "text/css; charset=utf-8",
        concat!(include_str!("../../../admin/dashboard/files/palette.css"), include_str!("files/page.css")),
    ),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("files/page.js")),
    ("/calls.js", "text/javascript; charset=utf-8", include_str!("files/calls.js")),
    ("/model.js", "text/javascript; charset=utf-8", include_str!("files/model.js")),
    ("/view.js", "text/javascript; charset=utf-8", include_str!("files/view.js")),
    ("/graph.js", "text/javascript; charset=utf-8", include_str!("files/graph.js")),
    ("/icon.svg", "image/svg+xml", include_str!("files/icon.svg")),
];

/// Adds the route of each file.
pub(super) fn configure(config: &mut ServiceConfig) {
    for &(path, media_type, text) in FILES {
        let get = move || async move { HttpResponse::Ok().content_type(media_type).body(text) };
        config.route(path, web::get().to(get)).route(path, web::head().to(get));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_files_need_no_inline_code() {
        for (path, _, text) in FILES {
            for refused in
                [".innerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", " style=", " onclick="]
            {
                assert!(!text.contains(refused), "{path} contains {refused}");
            }
            let outside = text.matches("http://").count() - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(outside, 0, "{path} names another host");
            assert!(!text.contains("<script>") && !text.contains("<style"), "{path} has inline code");
        }
    }

    #[test]
    fn page_files_exist_for_imports() {
        let named = |text: &str| {
            let parts = text.split(" from './").skip(1).filter_map(|rest| rest.split('\'').next());
            parts.map(|name| format!("/{name}")).collect::<Vec<_>>()
        };
        for import in FILES.iter().flat_map(|(_, _, text)| named(text)) {
            assert!(FILES.iter().any(|(path, _, _)| *path == import), "{import} is not served");
        }
    }
}
