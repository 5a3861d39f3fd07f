// A client of Go's standard library that speaks both dialects to the gateway red.example, with a client certificate or with signatures:
//
//	go run client.go ADDRESS CA NAME CERT KEY
//	go run client.go ADDRESS CA NAME SEED
//
// It prints one line for each request: method, status, how the connection came about, and the body of the answer.
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"time"
)

const server = "https://red.example"

type caller struct {
	name      string
	seed      []byte
	transport *http.Transport
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func newCaller(arguments []string) *caller {
	address, name, proof := arguments[0], arguments[2], arguments[3:]
	ca, err := os.ReadFile(arguments[1])
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	made := &caller{name: name}
	if len(proof) == 2 {
		pair, err := tls.LoadX509KeyPair(proof[0], proof[1])
		must(err)
		config.Certificates = []tls.Certificate{pair}
	} else {
		made.seed, err = hex.DecodeString(proof[0])
		must(err)
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	made.transport = &http.Transport{TLSClientConfig: config, DialContext: dial, ForceAttemptHTTP2: true}
	return made
}

// sign adds the headers of RFC 9421 and RFC 9530.
func (c *caller) sign(request *http.Request, target string, body []byte) {
	digest := sha256.Sum256(body)
	nonce := make([]byte, 18)
	_, err := rand.Read(nonce)
	must(err)
	content := fmt.Sprintf("sha-256=:%s:", base64.StdEncoding.EncodeToString(digest[:]))
	params := fmt.Sprintf(`("@method" "@target-uri" "content-digest");created=%d;keyid="%s/1";alg="ed25519";nonce="%s"`,
		time.Now().Unix(), c.name, base64.RawURLEncoding.EncodeToString(nonce))
	base := fmt.Sprintf("\"@method\": %s\n\"@target-uri\": %s%s\n\"content-digest\": %s\n\"@signature-params\": %s",
		request.Method, server, target, content, params)
	signature := ed25519.Sign(ed25519.NewKeyFromSeed(c.seed), []byte(base))
	request.Header.Set("Content-Digest", content)
	request.Header.Set("Signature-Input", "sig1="+params)
	request.Header.Set("Signature", fmt.Sprintf("sig1=:%s:", base64.StdEncoding.EncodeToString(signature)))
}

func (c *caller) send(method, target, body string) {
	request, err := http.NewRequest(method, server+target, bytes.NewReader([]byte(body)))
	must(err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Fernpost-Origin", c.name)
	if c.seed != nil {
		c.sign(request, target, []byte(body))
	}
	connection := "new"
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		if got.Reused {
			connection = "kept"
		}
	}}
	answer, err := c.transport.RoundTrip(request.WithContext(httptrace.WithClientTrace(context.Background(), trace)))
	must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(err)
	if connection == "new" && answer.TLS.DidResume {
		connection = "resumed"
	}
	fmt.Println(method, answer.StatusCode, connection, strings.TrimSpace(string(text)))
}

func main() {
	c := newCaller(os.Args[1:])
	c.send("POST", "/http/v1/updates", `{"seq":1,"strong":[{"text":"one"}]}`)
	c.send("POST", "/http/v1/updates", `{"seq":2,"strong":[{"text":"two"}]}`)
	c.transport.CloseIdleConnections()
	c.send("POST", "/http/v1/updates", `{"seq":3,"strong":[{"text":"three"}]}`)
	pdu := `{"pdu_id":"go-1","origin":"%s","context":"#room","ts":1,"pdu_type":"m.room.message","content":{"body":"from go"}}`
	transaction := `{"transaction_id":"7","origin":"%s","ts":1,"prev_ids":[],"pdus":[` + pdu + `]}`
	c.send("PUT", "/matrix/federation/v1/send/7/", fmt.Sprintf(transaction, c.name, c.name))
	c.send("GET", fmt.Sprintf("/matrix/federation/v1/pdu/%s/go-1/", c.name), "")
	c.send("GET", fmt.Sprintf("/matrix/federation/v1/pull/?origin=%s&v=0", c.name), "")
}
