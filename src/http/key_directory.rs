//! Serves the key directory, which anyone may read: keys are public, and a peer needs them before it can authenticate us.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource};

use crate::identity::key_directory::{KEY_DIRECTORY_PATH, KEY_DIRECTORY_TYPE, key_directory_json};
use crate::identity::key_ring::LiveKeyRing;

/// Time that a reader may keep the directory; a new key is published for longer before it signs.
const KEPT: &str = "max-age=3600";

/// Adds the directory of these keys. It has to be added before the services that authenticate their callers.
pub fn configure(config: &mut ServiceConfig, keys: &LiveKeyRing) {
    config.service(resource(keys.clone()));
}

fn resource(keys: LiveKeyRing) -> Resource {
    let answer = move || {
        let json = key_directory_json(&keys.current());
        async move {
            HttpResponse::Ok()
                .insert_header((CONTENT_TYPE, KEY_DIRECTORY_TYPE))
                .insert_header((CACHE_CONTROL, KEPT))
                .body(json)
        }
    };
    web::resource(KEY_DIRECTORY_PATH).route(web::get().to(answer))
}
