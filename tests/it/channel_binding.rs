//! SCRAM logins whose proof is bound to a certificate, over TLS on one side of the proxy or on both.

use std::process::{Command, Output};

use crate::certificates::{Authority, Files, Identity};
use crate::support::{Stage, StageBuilder};

const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

fn server(identity: &Identity) -> StageBuilder {
    Stage::builder()
        .setting("ssl", "on")
        .file("server.crt", identity.cert.clone())
        .file("server.key", identity.key.clone())
        .file("pg_hba.conf", HBA)
}

fn config(files: &Files, identity: &Identity) -> String {
    let cert = files.put("proxy.crt", &identity.cert);
    let key = files.put("proxy.key", &identity.key);
    format!(
        "[tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        cert.display(),
        key.display()
    )
}

fn psql(stage: &Stage, password: &str, parameters: &str) -> Output {
    let port = stage.proxy.port();
    let target =
        format!("host=127.0.0.1 port={port} user=keel password={password} dbname=app {parameters}");
    Command::new(stage.postgres.program("psql"))
        .args(["--no-psqlrc", "-At", "-c", "SELECT 'in'", &target])
        .env("HOME", "/nowhere")
        .output()
        .unwrap()
}

fn comes_in(stage: &Stage, parameters: &str) {
    let output = psql(stage, "keel", parameters);
    assert_eq!(output.stdout, b"in\n", "{parameters}: {output:?}");
}

fn refusal(stage: &Stage, parameters: &str) -> String {
    let output = psql(stage, "keel", parameters);
    assert!(!output.status.success(), "{parameters}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_proof_is_bound_to_the_proxys_certificate_and_the_proxys_own_to_the_servers() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let tls = config(&files, &authority.issue("proxy"));
    let stage = server(&authority.issue("db"))
        .config(&format!("{tls}[auth]\nmode = \"scram\"\n"))
        .upstream_parameters("sslmode=require&channel_binding=require")
        .start()
        .await;
    comes_in(&stage, "sslmode=require channel_binding=require");
    comes_in(&stage, "sslmode=require channel_binding=disable");
    comes_in(&stage, "sslmode=disable");
    let wrong = psql(&stage, "wrong", "sslmode=require channel_binding=require");
    let text = String::from_utf8_lossy(&wrong.stderr);
    assert!(text.contains("password authentication failed"), "{text}");
}

#[tokio::test]
async fn a_relayed_proof_is_bound_where_both_show_the_same_certificate() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let identity = authority.issue("db");
    let stage = server(&identity)
        .config(&config(&files, &identity))
        .start()
        .await;
    comes_in(&stage, "sslmode=require channel_binding=require");
    comes_in(&stage, "sslmode=require channel_binding=disable");
    comes_in(&stage, "sslmode=disable");
}

#[tokio::test]
async fn a_relayed_proof_that_cannot_be_bound_says_what_to_do() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let stage = server(&authority.issue("db"))
        .config(&config(&files, &authority.issue("proxy")))
        .start()
        .await;
    comes_in(&stage, "sslmode=require channel_binding=disable");
    comes_in(&stage, "sslmode=disable");
    let text = refusal(&stage, "sslmode=require");
    assert!(text.contains("auth.mode = \"scram\""), "{text}");
    refusal(&stage, "sslmode=require channel_binding=require");
}

#[tokio::test]
async fn a_relayed_proof_to_a_server_without_tls_is_not_bound() {
    let (authority, files) = (Authority::new("authority"), Files::new());
    let stage = Stage::builder()
        .config(&config(&files, &authority.issue("proxy")))
        .start()
        .await;
    comes_in(&stage, "sslmode=require");
    let text = refusal(&stage, "sslmode=require channel_binding=require");
    assert!(text.contains("channel binding"), "{text}");
}
