// Receives webhooks of Posthaste with Go's standard library: go run server.go
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

__VERIFY__
var ownSecrets = []string{"__SECRET__"}

const path = "__PATH__"

func receive(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil || request.Method != http.MethodPost || request.URL.RequestURI() != path {
		answer.WriteHeader(http.StatusNotFound)
		return
	}
	if err := Verify(request.Header, body, ownSecrets, time.Now()); err != nil {
		log.Println("refused:", err)
		answer.WriteHeader(http.StatusBadRequest)
		return
	}
	var event struct{ Event string }
	if err := json.Unmarshal(body, &event); err != nil {
		answer.WriteHeader(http.StatusBadRequest)
		return
	}
	// Your own code. The same webhook-id may come again: do each once.
	log.Println(request.Header.Get("webhook-id"), event.Event)
	answer.WriteHeader(http.StatusNoContent)
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	log.Fatal(http.ListenAndServe(":"+port, http.HandlerFunc(receive)))
}
