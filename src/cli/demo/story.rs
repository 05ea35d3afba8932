//! The story itself, step by step. Every answer is checked: a story that is told is a story that happened.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::demo::Result;
use crate::cli::demo::cast::{Cast, EVENTS, ISS, private_file, recovery_file};
use crate::cli::demo::server::Server;
use crate::cli::demo::stage::Stage;
use crate::clock::{Clock, SystemClock};

const ACCOUNT: &str = "github/acme-owner";
const JANE: &str = "jane@example.com";
const JOE: &str = "joe@example.com";

/// Tells the story against `server`.
pub fn tell(server: &Server, cast: &Cast, stage: &mut Stage) -> Result<()> {
    configure(server, cast, stage)?;
    let codes = import(server, cast, stage)?;
    let spent = retrieve(server, cast, stage, &codes)?;
    refuse(server, cast, stage, &spent)?;
    re_enroll(server, cast, stage)?;
    rotate(server, cast, stage)?;
    look_back(server, stage)
}

/// Checks an answer and shows it.
fn expect(stage: &mut Stage, wanted: u16, (status, body): (u16, Value)) -> Result<Value> {
    stage.answer(status, &body);
    if status == wanted { Ok(body) } else { Err(format!("expected {wanted}, got {status}")) }
}

fn configure(server: &Server, cast: &Cast, stage: &mut Stage) -> Result<()> {
    stage.step("Somebody trusted issues assertions; a role says what they are good for");
    stage.command("bao write backup-codes/issuers/corp bound_issuer=… jwt_validation_pubkeys=@issuer.pub");
    let issuer = json!({"bound_issuer": ISS, "jwt_validation_pubkeys": [cast.public_pem()]});
    expect(stage, 204, server.put("backup-codes/issuers/corp", &issuer)?)?;
    stage.command("bao write backup-codes/roles/oncall issuers=corp bound_audiences=sparekey accounts='github/*' operations=retrieve -…");
    let role = |team: &str, operations: &[&str]| {
        json!({
            "issuers": ["corp"], "bound_audiences": ["sparekey"], "bound_claims": {"team": team},
            "accounts": ["github/*"], "operations": operations,
        })
    };
    expect(stage, 204, server.put("backup-codes/roles/oncall", &role("on-call", &["retrieve"]))?)?;
    stage.command(
        "bao write backup-codes/roles/rotator … operations=store    # automation: may store, may not retrieve",
    );
    expect(stage, 204, server.put("backup-codes/roles/rotator", &role("automation", &["store"]))?)?;
    stage.command(
        "bao write backup-codes/sources/corp type=caep issuer=corp …  # who may say that MFA was enrolled again",
    );
    let source = json!({
        "type": "caep", "issuer": "corp", "bound_audiences": [EVENTS], "subjects": {"email:owner@example.com": ACCOUNT},
    });
    expect(stage, 204, server.put("backup-codes/sources/corp", &source)?)?;
    Ok(())
}

fn import(server: &Server, cast: &Cast, stage: &mut Stage) -> Result<Vec<String>> {
    stage.step("A recovery-code file, as the provider wrote it, goes in and is sealed");
    let (text, codes) = recovery_file();
    private_file(&server.folder().join("github-recovery-codes.txt"), text.as_bytes())?;
    private_file(&server.folder().join("rotator.jwt"), cast.jwt("ci-rotation", "automation")?.as_bytes())?;
    // The owner downloaded the codes yesterday, when the old factor was enrolled.
    let yesterday = SystemClock.now().minus(Duration::from_secs(86_400)).to_string();
    let args = [
        "import",
        ACCOUNT,
        "github-recovery-codes.txt",
        "--role",
        "rotator",
        "--jwt-file",
        "rotator.jwt",
        "--cas",
        "0",
        "--bound-at",
        &yesterday,
        "--yes",
        "--remove-source",
    ];
    stage.command(&format!("sparekey {}", args.join(" ")));
    let (fine, output) = server.command(&args)?;
    stage.output(&output);
    if fine { Ok(codes) } else { Err("the import failed".to_owned()) }
}

fn ask(server: &Server, stage: &mut Stage, who: &str, jwt: &str, wanted: u16) -> Result<Value> {
    stage.command(&format!(
        "curl -X PUT {}/v1/backup-codes/retrieve/{ACCOUNT} -d '{{\"role\":\"oncall\",\"reason\":\"lost my phone\",\"jwt\":\"'${who}'\"}}'",
        server.address()
    ));
    let body = json!({"role": "oncall", "reason": "lost my phone", "jwt": jwt});
    expect(stage, wanted, server.put_as(None, &format!("backup-codes/retrieve/{ACCOUNT}"), &body)?)
}

/// Two people get one code each; answers the JWT that is used up.
fn retrieve(server: &Server, cast: &Cast, stage: &mut Stage, codes: &[String]) -> Result<String> {
    stage.step("Locked out at 3 a.m.: Jane, on call, gets one code for her JWT");
    let jane = cast.jwt(JANE, "on-call")?;
    let first = ask(server, stage, "JANE", &jane, 200)?;
    stage.step("Joe gets another one: no code leaves twice");
    let joe = cast.jwt(JOE, "on-call")?;
    let second = ask(server, stage, "JOE", &joe, 200)?;
    let got = [&first["data"]["code"], &second["data"]["code"]];
    if got[0] == got[1] || got.iter().any(|code| !codes.iter().any(|known| *known == **code)) {
        return Err("the codes are not two different ones of the file".to_owned());
    }
    Ok(jane)
}

fn refuse(server: &Server, cast: &Cast, stage: &mut Stage, spent: &str) -> Result<()> {
    stage.step("The same JWT again, a forged one and one of the wrong team get nothing");
    ask(server, stage, "JANE", spent, 403)?;
    ask(server, stage, "FORGED", &cast.forged(JANE, "on-call")?, 403)?;
    ask(server, stage, "INTERN", &cast.jwt("intern@example.com", "interns")?, 403)?;
    Ok(())
}

fn re_enroll(server: &Server, cast: &Cast, stage: &mut Stage) -> Result<()> {
    stage.step("The identity provider says: MFA was enrolled again (a signed CAEP event). The old set dies");
    stage.command(&format!(
        "curl -X POST {}/v1/backup-codes/events/corp -d '{{\"set\":\"'$EVENT'\"}}'",
        server.address()
    ));
    let event = json!({"set": cast.event("owner@example.com")?});
    expect(stage, 202, server.put_as(None, "backup-codes/events/corp", &event)?)?;
    let answer = ask(server, stage, "JANE2", &cast.jwt(JANE, "on-call")?, 400)?;
    let said = answer["errors"][0].as_str().unwrap_or_default();
    if said.starts_with("ended") { Ok(()) } else { Err("the old set still lives".to_owned()) }
}

fn rotate(server: &Server, cast: &Cast, stage: &mut Stage) -> Result<()> {
    stage.step("Automation fetched fresh codes and stores them: for this enrollment, if nobody else did meanwhile");
    let (_, fresh) = recovery_file();
    let path = format!("backup-codes/sets/{ACCOUNT}");
    let body = |extra: Value| {
        let mut body = json!({"role": "rotator", "codes": fresh});
        if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
            body.extend(extra);
        }
        body
    };
    stage.remark("A job that does not say which enrollment its codes belong to could bring dead ones back:");
    stage.command(&format!("bao write {path} role=rotator jwt=$ROTATOR codes=…"));
    let jwt = cast.jwt("ci-rotation", "automation")?;
    expect(stage, 400, server.put_as(None, &path, &body(json!({"jwt": jwt})))?)?;
    stage.command(&format!("bao write {path} role=rotator jwt=$ROTATOR cas=1 enrollment=1 codes=…"));
    let jwt = cast.jwt("ci-rotation", "automation")?;
    let extra = json!({"jwt": jwt, "cas": 1, "enrollment": 1});
    expect(stage, 200, server.put_as(None, &path, &body(extra))?)?;
    ask(server, stage, "JANE3", &cast.jwt(JANE, "on-call")?, 200)?;
    Ok(())
}

fn look_back(server: &Server, stage: &mut Stage) -> Result<()> {
    stage.step("What happened: the account's ledger, and whether its chain holds");
    stage.command(&format!("bao read backup-codes/history/{ACCOUNT} verify=true"));
    let (status, body) = server.get(&format!("backup-codes/history/{ACCOUNT}?verify=true"))?;
    for entry in body["data"]["entries"].as_array().into_iter().flatten() {
        stage.output(&format!(
            "{:>2}  {}  {:<9} {:<22} generation {:<3} slot {:<3} {}",
            entry["seq"],
            entry["at"].as_str().unwrap_or_default(),
            entry["act"].as_str().unwrap_or_default(),
            entry["actor"]["subject"].as_str().unwrap_or_default(),
            number(&entry["generation"]),
            number(&entry["slot"]),
            entry["reason"].as_str().unwrap_or_default(),
        ));
    }
    let verified = &body["data"]["verified"];
    stage.output(&format!("verified {verified}"));
    if status != 200 || *verified != json!(true) {
        return Err("the ledger does not verify".to_owned());
    }
    stage.step("The audit file, offline: chained line by line, sealed by signed checkpoints");
    let args = ["audit", "verify", "audit.log"];
    stage.command(&format!("sparekey {}", args.join(" ")));
    let (fine, output) = server.command(&args)?;
    stage.output(&output);
    if fine { Ok(()) } else { Err("the audit file does not verify".to_owned()) }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}
