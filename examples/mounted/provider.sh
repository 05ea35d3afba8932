# The identity provider of this example: one RSA key, and tokens signed with it. Yours is Okta, Entra ID, Keycloak …; nothing here is needed
# then but its address (`jwks_url` or `oidc_discovery_url` in place of the key's file). To be read by a shell (`. ./provider.sh`).

PROVIDER=https://idp.example.com/

provider_start() { # KEY-FILE PUBLIC-KEY-FILE
    provider_key=$1
    (umask 077 && openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1")
    openssl pkey -in "$1" -pubout -out "$2"
}

url_base64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

provider_sign() { # TYPE CLAIMS
    signed=$(printf '{"alg":"RS256","typ":"%s"}' "$1" | url_base64).$(printf '%s' "$2" | url_base64)
    printf '%s.%s' "$signed" "$(printf '%s' "$signed" | openssl dgst -sha256 -sign "$provider_key" -binary | url_base64)"
}

# What somebody has in hand after signing in at the provider, for one audience.
jwt() { # SUBJECT AUDIENCE GROUP
    now=$(date +%s)
    provider_sign JWT "{\"iss\":\"$PROVIDER\",\"sub\":\"$1\",\"aud\":\"$2\",\"groups\":[\"$3\"],\"jti\":\"$(openssl rand -hex 12)\",\"iat\":$now,\"exp\":$((now + 300))}"
}

# What the provider sends when somebody has registered a new authenticator (RFC 8417, OpenID CAEP).
enrollment_event() { # EMAIL AUDIENCE
    now=$(date +%s)
    change="{\"credential_type\":\"fido2-roaming\",\"change_type\":\"create\",\"initiating_entity\":\"user\",\"event_timestamp\":$now}"
    provider_sign secevent+jwt "{\"iss\":\"$PROVIDER\",\"aud\":\"$2\",\"iat\":$now,\"jti\":\"$(openssl rand -hex 12)\",\"sub_id\":{\"format\":\"email\",\"email\":\"$1\"},\"events\":{\"https://schemas.openid.net/secevent/caep/event-type/credential-change\":$change}}"
}
