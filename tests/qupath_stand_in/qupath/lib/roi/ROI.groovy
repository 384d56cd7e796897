package qupath.lib.roi

import qupath.lib.geom.Point2

/** Contains what its bounding box contains, which is enough for rectangles. */
class ROI {
    Map geometry

    boolean isPoint() { return geometry.type.endsWith('Point') }
    boolean isArea() { return geometry.type.endsWith('Polygon') }
    Object getImagePlane() { return 'plane' }
    int getNumPoints() { return pairs().size() }
    List getAllPoints() { return pairs().collect { new Point2(it[0] as double, it[1] as double) } }
    double getBoundsX() { return pairs().collect { it[0] }.min() as double }
    double getBoundsY() { return pairs().collect { it[1] }.min() as double }
    double getBoundsWidth() { return (pairs().collect { it[0] }.max() as double) - getBoundsX() }
    double getBoundsHeight() { return (pairs().collect { it[1] }.max() as double) - getBoundsY() }
    double getCentroidX() { return getBoundsX() + getBoundsWidth() / 2 }
    double getCentroidY() { return getBoundsY() + getBoundsHeight() / 2 }

    boolean contains(double x, double y) {
        return x >= getBoundsX() && x < getBoundsX() + getBoundsWidth() &&
            y >= getBoundsY() && y < getBoundsY() + getBoundsHeight()
    }

    List pairs() { return [geometry.coordinates].flatten().collate(2) }
}
