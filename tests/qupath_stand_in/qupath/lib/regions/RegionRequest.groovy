package qupath.lib.regions

class RegionRequest {
    int x
    int y
    int width
    int height

    static RegionRequest createInstance(String path, double downsample, int x, int y, int width, int height) {
        assert downsample == 1.0d
        return new RegionRequest(x: x, y: y, width: width, height: height)
    }
}
