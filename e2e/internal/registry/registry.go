// Package registry serves one image as a registry does, so that it can be pulled.
package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/image"
)

const repository = "e2e"

// Start serves the image without encryption until the test ends and returns the reference to pull.
func Start(t testing.TB, served *image.Image) string {
	t.Helper()
	manifest, blobs, err := served.Build()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/", func(w http.ResponseWriter, r *http.Request) {
		kind, name, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"+repository+"/"), "/")
		if !found || strings.Contains(name, "/") {
			http.NotFound(w, r)
			return
		}
		wanted := digest.Digest(name)
		if kind == "manifests" {
			// There is one image, whatever its tag.
			wanted = manifest.Digest
			w.Header().Set("Content-Type", manifest.MediaType)
		} else {
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		content, ok := blobs[wanted]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Docker-Content-Digest", wanted.String())
		// It answers HEAD and ranges as well.
		http.ServeContent(w, r, "", image.Modified, strings.NewReader(string(content)))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/" + repository + ":1"
}
