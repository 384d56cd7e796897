package qupath.lib.geom

class Point2 {
    final double x
    final double y

    Point2(double x, double y) {
        this.x = x
        this.y = y
    }
}
