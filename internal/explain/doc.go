// Package explain tells an operator how the next pull of an image would go, and why.
//
// An image is named as clients name it (image.go), and what [breakwater/proxy] knows
// of it joined with what each listener allows (report.go). It is told in words
// (render.go, tree.go, outlook.go), the conclusion last.
package explain
