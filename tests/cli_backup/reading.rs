//! Who takes a backup slowly, or loses the server meanwhile.

use super::*;

#[test]
fn a_server_that_is_killed_meanwhile_leaves_no_backup() {
    let (mut server, scene, _) = furnished(Setup::default());
    // Enough that the answer does not fit into the buffers on its way: long texts in the records of many accounts.
    let labels: serde_json::Map<_, _> = (0..32).map(|n| (format!("label-{n}"), json!("x".repeat(200)))).collect();
    for number in 0..20 {
        let path = format!("{MOUNT}/accounts/github/team-{number}");
        server.root().write(&path, &json!({"labels": labels})).expect(204);
    }
    drop(scene);
    let mut slow = std::net::TcpStream::connect(server.address()).unwrap();
    let request =
        format!("GET /v1/sys/storage/snapshot HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\n\r\n", server.root_token());
    slow.write_all(request.as_bytes()).unwrap();
    let mut begun = [0; 16];
    std::io::Read::read_exact(&mut slow, &mut begun).unwrap();
    assert_eq!(&begun[..12], b"HTTP/1.1 200");
    server.kill();
    // Whoever reads on finds no end of a chunked body.
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    let file = server.dir().join("a.backup");
    run(&server, "s.x", &["backup", text(&file)], "").exits(1).says("nothing listens");
    assert!(!file.exists() && !server.dir().join("a.backup.partial").exists());
}

/// Somebody begins to take a backup of a large store and stops reading: the server reads no further ahead than a few pieces, takes
/// no second one meanwhile, goes on with everything else, and lets go when the reader leaves or the seal closes.
#[test]
fn who_reads_slowly_holds_nothing_up_and_fills_no_memory() {
    let (mut server, scene, _) = furnished(Setup::default().shares(1, 1));
    server.terminate();
    // 192 MiB that nothing looks at, at the front.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Redb::open(&server.store()).unwrap();
        for number in 0..24 {
            let large =
                |n: u32| Write::create(format!("a/{number}/{n}"), vec![7; 2 << 20], &SeededRandom::new(u64::from(n)));
            store.put_all((0..4).map(large).collect()).await.unwrap();
        }
    });
    server.restart();
    scene.retrieve(ACCOUNT, "alice").expect(200);
    let before = resident(&server);
    let slow = begin(&server);
    std::thread::sleep(Duration::from_millis(1500));
    let grown = resident(&server).saturating_sub(before);
    // A few pieces of two such values, what they are sealed and sent from, and what the store keeps of pages it has read.
    assert!(grown < 96 << 10, "{grown} KiB more with nobody reading");
    let busy = server.root().read("sys/storage/snapshot").expect(429);
    assert!(busy.error().contains("the whole store is being read already"), "{}", busy.error());
    server.root().read("sys/storage/doctor").expect(429);
    scene.retrieve(ACCOUNT, "bob").expect(200);
    // Gone: the next one may begin.
    drop(slow);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut slow = loop {
        let mut slow = begin(&server);
        let mut head = [0; 12];
        slow.read_exact(&mut head).unwrap();
        if &head == b"HTTP/1.1 200" {
            break slow;
        }
        assert!(Instant::now() < deadline, "the turn did not come free");
        std::thread::sleep(Duration::from_millis(50));
    };
    server.root().write("sys/seal", &json!({})).expect(204);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.len() < 120 << 20 && !rest.ends_with(b"0\r\n\r\n"), "it ended as if it were whole");
    server.until("told", |_| server.log().contains("the server was sealed"));
}

/// A request for a backup of which nothing is read yet.
fn begin(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let token = server.root_token();
    let request = format!("GET /v1/sys/storage/snapshot HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Memory of the server's process, in KiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
