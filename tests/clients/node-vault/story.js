// The story through node-vault. Reads the cast (addresses, assertions, codes) as JSON from standard input.
//
// node-vault's rule: 200 gives the body, 204 gives nothing, anything else is an error with the first of `errors` as its
// message, and that includes 202.

'use strict';

const assert = require('assert');
const fs = require('fs');

const cast = JSON.parse(fs.readFileSync(0, 'utf8'));
const vault = require('node-vault')({ endpoint: cast.url, token: '' });
const MOUNT = 'backup-codes';
const write = (path, fields, options) => vault.write(`${MOUNT}/${path}`, fields, options);

// The exact status, and words in the message.
async function refused(status, words, act) {
    let answer;
    try {
        answer = await act();
    } catch (error) {
        assert.ok(error.response, error);
        assert.strictEqual(error.response.statusCode, status, error.message);
        assert.ok(error.message.includes(words), error.message);
        return;
    }
    assert.fail(`not refused: ${JSON.stringify(answer)}`);
}

// 204: nothing in it.
const empty = (answer) => assert.ok(answer === undefined || answer === '', JSON.stringify(answer));

async function story() {
    // Born, opened.
    assert.strictEqual((await vault.initialized()).initialized, false);
    assert.strictEqual((await vault.health()).initialized, false);
    const born = await vault.init({ secret_shares: 3, secret_threshold: 2 });
    assert.strictEqual(born.keys.length, 3);
    assert.strictEqual((await vault.status()).sealed, true);
    assert.strictEqual((await vault.unseal({ key: born.keys[0] })).progress, 1);
    assert.strictEqual((await vault.unseal({ key: born.keys[1] })).sealed, false);
    assert.strictEqual((await vault.health()).sealed, false);
    await refused(403, '', () => vault.tokenLookupSelf());
    vault.token = born.root_token;
    assert.strictEqual((await vault.tokenLookupSelf()).data.display_name, 'root');
    assert.ok(`${MOUNT}/` in (await vault.mounts()));
    assert.ok('jwt/' in (await vault.auths()).data);

    // Whom we trust, who may do what.
    empty(await write('issuers/idp', { bound_issuer: cast.issuer, jwt_validation_pubkeys: [cast.pem] }));
    const common = { issuers: ['idp'], bound_audiences: [cast.audience], accounts: ['okta/*'] };
    empty(await write('roles/on-call', { ...common, bound_claims: { groups: ['on-call'] }, operations: ['retrieve', 'read'] }));
    empty(await write('roles/automation', { ...common, bound_subject: 'rotator', operations: ['store'] }));
    empty(await write('sources/idp', {
        type: 'caep', issuer: 'idp', bound_audiences: [cast.audience], account_template: 'okta/{{email}}',
    }));
    const role = (await vault.read(`${MOUNT}/roles/on-call`)).data;
    empty(await vault.write(`${MOUNT}/roles/on-call`, role));
    assert.deepStrictEqual((await vault.read(`${MOUNT}/roles/on-call`)).data, role);
    assert.deepStrictEqual((await vault.list(`${MOUNT}/roles`)).data.keys.sort(), ['automation', 'on-call']);
    await refused(404, '', () => vault.read(`${MOUNT}/roles/nobody`));
    await refused(400, 'operatoins', () => write('roles/typo', { operatoins: ['retrieve'] }));

    // A set goes in, once.
    const account = 'okta/jane@example.com';
    const set = { role: 'automation', jwt: cast.store, codes: cast.codes, cas: 0, bound_at: cast.bound_at };
    const stored = await write(`sets/${account}`, set);
    assert.deepStrictEqual([stored.data.generation, stored.data.count], [1, 4]);
    await refused(400, 'cas', () => write(`sets/${account}`, set));

    // One code comes out; the assertion is spent.
    const ask = { role: 'on-call', jwt: cast.admins[0], reason: 'phone lost' };
    const first = await write(`retrieve/${account}`, ask);
    assert.deepStrictEqual([first.data.code, first.data.remaining], [cast.codes[0], 3]);
    assert.deepStrictEqual([first.lease_id, first.lease_duration], ['', 0]);
    await refused(403, '', () => write(`retrieve/${account}`, ask));
    await refused(403, '', () => write(`retrieve/${account}`, { role: 'on-call', reason: 'phone lost' }));

    // One code comes out wrapped.
    const wrapped = await write(`retrieve/${account}`, { ...ask, jwt: cast.admins[1] }, { headers: { 'X-Vault-Wrap-TTL': '60s' } });
    const { token } = wrapped.wrap_info;
    assert.deepStrictEqual([wrapped.data, wrapped.wrap_info.ttl], [null, 60]);
    assert.strictEqual((await vault.unwrap({ token })).data.code, cast.codes[1]);
    await refused(400, 'wrapping token is not valid or does not exist', () => vault.unwrap({ token }));

    // Logged in, one sees what the role shows, and no more. A login replaces the client's token.
    await vault.jwtLogin({ role: 'on-call', jwt: cast.login });
    assert.notStrictEqual(vault.token, born.root_token);
    const seen = (await vault.read(`${MOUNT}/accounts/${account}`)).data;
    assert.strictEqual(seen.remaining, 2);
    assert.ok(!cast.codes.some((code) => JSON.stringify(seen).includes(code)));
    assert.strictEqual((await vault.tokenLookupSelf()).data.path, 'auth/jwt/login');
    await vault.tokenRenewSelf({});
    await refused(403, 'administer', () => write('roles/mine', { accounts: '*' }));
    empty(await vault.tokenRevokeSelf());
    await refused(403, '', () => vault.tokenLookupSelf());
    vault.token = born.root_token;

    // MFA was enrolled again. It is taken with 202, which this client does not count as a success.
    await refused(202, 'Status 202', () => write('events/idp', { set: cast.event }));
    await refused(400, '', () => write(`retrieve/${account}`, { ...ask, jwt: cast.admins[2] }));
    const history = (await vault.read(`${MOUNT}/history/${account}?verify=true`)).data;
    assert.deepStrictEqual(history.entries.map((entry) => entry.act), ['store', 'retrieve', 'retrieve', 'unwrap', 'event']);
    assert.strictEqual(history.verified, true);

    // The barrier's key is rotated; this client has no call for its status, so it reads.
    assert.strictEqual((await vault.read('sys/key-status')).data.term, 1);
    empty(await vault.rotate());
    assert.strictEqual((await vault.read('sys/key-status')).data.term, 2);
    assert.strictEqual((await vault.read(`${MOUNT}/accounts/${account}`)).data.generation, 1);

    // The root token is lost: a quorum of shares makes another one, for whoever has the one-time password.
    const otp = 'an-otp-of-twenty-six-bytes';
    empty(await vault.generateRootInit({ otp }).then(() => vault.generateRootCancel()));
    const { nonce } = await vault.generateRootInit({ otp });
    assert.strictEqual((await vault.generateRootUpdate({ key: born.keys[1], nonce })).progress, 1);
    const made = await vault.generateRootUpdate({ key: born.keys[2], nonce });
    assert.strictEqual(made.complete, true);
    const mixed = Buffer.from(made.encoded_root_token, 'base64');
    vault.token = String.fromCharCode(...mixed.map((byte, place) => byte ^ otp.charCodeAt(place)));
    assert.deepStrictEqual((await vault.tokenLookupSelf()).data.policies, ['root']);
    empty(await vault.tokenRevokeSelf());
    vault.token = born.root_token;

    // Taken back, closed.
    empty(await vault.delete(`${MOUNT}/roles/on-call`));
    empty(await vault.seal());
    await refused(503, 'sealed', () => vault.read(`${MOUNT}/config`));
    console.log('the story is told');
}

story().catch((error) => {
    console.error(error);
    process.exit(1);
});
