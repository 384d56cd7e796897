package qupath.lib.roi

class ROIs {
    static ROI createPointsROI(List points, plane) {
        return new ROI(geometry: [type: 'MultiPoint', coordinates: points.collect { [it.x, it.y] }])
    }
}
