// Package architecture holds no code, only the test that keeps the arrows
// between Breakwater's packages pointing one way.
//
// imports_test.go is the plan of the house as data: one row for every package,
// naming the packages of ours that it may import, and one row for every library
// that is to stay in one room. A new package, a new arrow or a library that
// wanders fails the build until the table says that it is meant.
package architecture
