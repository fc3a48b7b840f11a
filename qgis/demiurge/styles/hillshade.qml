<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<!-- Hillshade from several directions, multiplied with the layers below. -->
<qgis version="3.22" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="hillshade" band="1" azimuth="315" angle="45" zfactor="1" multidirection="1" opacity="0.7" alphaBand="-1" nodataColor="">
      <rasterTransparency/>
    </rasterrenderer>
    <brightnesscontrast brightness="30" contrast="10" gamma="1"/>
    <rasterresampler maxOversampling="2" zoomedInResampler="bilinear" zoomedOutResampler="bilinear"/>
  </pipe>
  <blendMode>6</blendMode>
</qgis>
